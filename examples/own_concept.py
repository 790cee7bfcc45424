"""Steer away from something of your own: here, fruit."""

import torch

from safelatent import Concept, guard, load

pipe = load("embedded")
safe = guard(pipe, "max", concept=Concept(terms=("banana", "strawberry", "pineapple")))

out = safe("a monkey with a banana", generator=torch.Generator().manual_seed(0))
out.images[0].save("monkey.png")
print(out.receipts[0].concept)
