"""Steer away from your own concept: here, death. The judge says what it sees."""

from typing import Any

import torch

from safelatent import Concept, guard, load
from safelatent.detectors import embedded_judge, examine

pipe = load("embedded")
safe = guard(pipe, "strong", concept=Concept(terms=("skull", "coffin", "grave")))

models: dict[str, Any] = {"unguarded": pipe, "guarded": safe}
for name, model in models.items():
    out = model("a koala with a skull", generator=torch.Generator().manual_seed(0))
    out.images[0].save(f"koala-{name}.png")
    [verdict] = examine(embedded_judge(), out.images)
    print(f"{name}: {verdict.label}, {verdict.evidence}")
