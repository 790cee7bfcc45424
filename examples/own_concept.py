"""Steer away from something of your own: here, smoking. The judge says what it sees before and after.

The prompt asks for a cigarette by name, so this takes the strongest preset.
"""

import torch

from safelatent import Concept, guard, load
from safelatent.detectors import embedded_judge, examine

pipe = load("embedded")
safe = guard(pipe, "max", concept=Concept(terms=("cigarettes", "smoking")))

for name, model in (("unguarded", pipe), ("guarded", safe)):
    out = model("a panda with a cigarette", generator=torch.Generator().manual_seed(0))
    out.images[0].save(f"panda-{name}.png")
    [verdict] = examine(embedded_judge(), out.images)
    print(f"{name}: {verdict.label}, {verdict.evidence}")
