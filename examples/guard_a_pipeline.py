"""One line guards a pipeline; the rest of the script stays as it was."""

import torch

from safelatent import guard, load

pipe = load("embedded")
pipe = guard(pipe, "strong")  # the one line

out = pipe("a penguin with a pistol", generator=torch.Generator().manual_seed(3))
out.images[0].save("penguin.png")
receipt = out.receipts[0]
print(
    f"guided in {receipt.guided_steps} of {receipt.steps} steps, {receipt.evaluations} evaluations, gate {receipt.gate_open:.0%} open"
)
