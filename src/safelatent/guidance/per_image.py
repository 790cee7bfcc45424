"""Settings for each image of a batch: one guidance per row, each applied to its row alone.

So a row gets what it would get alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from safelatent.errors import BadValueError
from safelatent.guidance.estimates import Choosing, Correction, Estimates, Guidance
from safelatent.text import counted


@dataclass(frozen=True)
class PerImage:
    """``PerImage([WEAK, MAX])``: the first row weak, the second max.

    The rows are computed one by one rather than with settings as tensors: in half precision a
    setting that is a tensor is rounded to half, a setting that is a number is not, and a row must
    not differ from the same request alone. A row costs far less than one thousandth of an
    evaluation of the model.

    Raises:
        BadValueError: no row, a row that is not safety guidance for one row, or estimates with
            another number of rows.
    """

    settings: Sequence[Guidance]

    def __post_init__(self) -> None:
        settings = tuple(self.settings)
        if not settings:
            raise BadValueError("no settings were given; give one SLD per image of the batch")
        for b, one in enumerate(settings):
            known = isinstance(one, Guidance) and not isinstance(one, Choosing)  # pyright: ignore[reportUnnecessaryIsInstance]
            if not known or one.rows is not None or not one.needs_uncond:
                raise BadValueError(f"image {b} has {one!r}; it must be an SLD")
        object.__setattr__(self, "settings", settings)

    @property
    def needs_uncond(self) -> bool:
        return True

    @property
    def rows(self) -> int | None:
        return len(self.settings)

    def acts_from(self) -> int:
        return max(one.acts_from() for one in self.settings)

    def row(self, b: int) -> Guidance:
        """Return the settings of row ``b``."""
        return self.settings[b]

    def on(self, levels: Sequence[float]) -> PerImage:
        return PerImage([one.on(levels) for one in self.settings])

    def needs_concept(self, i: int) -> bool:
        return any(one.needs_concept(i) for one in self.settings)

    def init(self, latents: Tensor) -> Tensor:
        return torch.zeros_like(latents)

    def correct(
        self, estimates: Estimates, state: Tensor, i: int, unit: float = 1.0
    ) -> tuple[Correction, Tensor]:
        """Correct every row by its own settings; see ``Guidance``."""
        if len(estimates.prompt) != len(self.settings):
            raise BadValueError(
                f"settings for {counted(len(self.settings), 'image')} met a batch of "
                f"{len(estimates.prompt)}; give one per image"
            )
        parts = [
            one.correct(estimates.row(b), state[b : b + 1], i, unit)
            for b, one in enumerate(self.settings)
        ]
        joined = {
            f.name: torch.cat([getattr(part, f.name) for part, _ in parts])
            for f in fields(Correction)
            if getattr(parts[0][0], f.name) is not None
        }
        return Correction(**joined), torch.cat([nu for _, nu in parts])
