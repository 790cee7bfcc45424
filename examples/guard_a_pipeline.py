"""One line guards a pipeline; the rest of the script stays as it was."""

import torch

from safelatent import guard, load

pipe = load("embedded")
pipe = guard(pipe, "strong")  # the one line

out = pipe("a penguin with a pistol", generator=torch.Generator().manual_seed(3))
out.images[0].save("penguin.png")
print(out.receipts[0])
