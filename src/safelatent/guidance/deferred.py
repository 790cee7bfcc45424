"""What must hold of the tensors of a call, looked at when the call ends.

Reading a value makes the host wait for the device. So a call's conditions stay on the device, step
after step, and are read at once before any image leaves.
"""

from __future__ import annotations

import torch
from torch import Tensor

from safelatent.errors import GuardError
from safelatent.guidance.estimates import Correction, Estimates


class Deferred:
    """Conditions, and the error of each where it does not hold."""

    def __init__(self) -> None:
        self._conditions: list[tuple[Tensor, GuardError]] = []

    def expect(self, holds: Tensor, error: GuardError) -> None:
        """Remember a condition.

        Args:
            holds: bool, without dimensions.
            error: to raise where it is False.
        """
        self._conditions.append((holds, error))

    def expect_finite(
        self, where: str, estimates: Estimates | Correction, noise: Tensor | None = None
    ) -> None:
        """Remember that no number may be NaN or infinite; the error says which is, and where."""
        words = {"uncond": "unconditional", "prompt": "prompt's", "concept": "concept's"}
        if isinstance(estimates, Correction):
            pair = {"uncond": estimates.uncond, "prompt": estimates.prompt}
            named = {f"corrected {words[name]}": tensor for name, tensor in pair.items()}
        else:
            named = {words.get(name, name): tensor for name, tensor in estimates.named().items()}
        if noise is not None:
            named["guided"] = noise
        for name, tensor in named.items():
            error = f"the {name} estimate at {where} is not finite (NaN or infinite); no image is "
            self.expect(torch.isfinite(tensor).all(), GuardError(f"{error}returned"))

    def settle(self) -> None:
        """Raise the error of the first condition that does not hold; forget those that do."""
        conditions, self._conditions = self._conditions, []
        if not conditions:
            return
        first = conditions[0][0].device
        held = torch.stack([holds.to(first) for holds, _ in conditions])
        for holds, (_, error) in zip(held.tolist(), conditions, strict=True):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportUnknownArgumentType]
            if not holds:
                raise error
