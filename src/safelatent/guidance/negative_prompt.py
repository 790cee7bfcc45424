"""The paper's baseline: the concept replaces the empty prompt, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safelatent.guidance.estimates import Correction, Estimates, changed, missing_concept


@dataclass(frozen=True, kw_only=True)
class NegativePrompt:
    """``e_u := e_S`` at every step.

    It has no settings and no state, and costs what plain classifier-free guidance costs. A row on
    which concept and prompt have the same estimate is not guided: the result is ``e_p`` for any
    guidance scale.
    """

    @property
    def needs_uncond(self) -> bool:
        return False

    @property
    def rows(self) -> int | None:
        return None

    def acts_from(self) -> int:
        return 0

    def row(self, b: int) -> NegativePrompt:
        return self

    def on(self, levels: Sequence[float]) -> NegativePrompt:
        return self

    def needs_concept(self, i: int) -> bool:
        return True

    def init(self, latents: object) -> None:
        return None

    def correct(
        self, estimates: Estimates, state: None, i: int, unit: float = 1.0
    ) -> tuple[Correction, None]:
        """Replace ``e_u`` by ``e_S``; see ``Guidance``."""
        e_u, e_p, e_S = estimates.uncond, estimates.prompt, estimates.concept
        if e_S is None:
            raise missing_concept(i)
        acts = changed(e_S, e_p)
        if e_u is not None:
            acts = acts & changed(e_S, e_u)
        return Correction(uncond=e_S, prompt=e_p, acts=acts), None
