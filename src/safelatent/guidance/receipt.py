"""What the guard did for one image, as counted while it did it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from safelatent.guidance import SLD, Correction, Estimates, Guidance, preset_name
from safelatent.text import html_table


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One for each image.

    Attributes:
        safety: the name of the preset, ``negative prompt`` for the baseline, None for settings of
            one's own.
        concept: the text that was steered away from.
        settings: of the guidance, by name.
        steps: denoising steps of the call.
        guided_steps: those at which the noise estimate of this image was changed.
        evaluations: of the denoiser, for this image (classifier-free guidance alone: two a step).
        gate_open: share of elements at which the gate was open, mean over the steps after the
            warm-up. None for the baseline.
        gamma_ratio: ``|gamma| / |e_p - e_u|`` (Euclidean norms), mean over the same steps. None for
            the baseline, and for an empty prompt.
    """

    safety: str | None
    concept: str
    settings: dict[str, Any]
    steps: int
    guided_steps: int
    evaluations: int
    gate_open: float | None
    gamma_ratio: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """A few lines for people; ``repr`` has every setting."""
        shown = self._shown()
        return "\n".join(f"{name}: {shorten(text, 80, placeholder=' ...')}" for name, text in shown)

    def _repr_html_(self) -> str:
        return html_table(dict(self._shown()))

    def _shown(self) -> list[tuple[str, str]]:
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        acted = [
            f"{name} {value:{form}}"
            for name, value, form in (
                ("gate open", self.gate_open, ".0%"),
                ("gamma ratio", self.gamma_ratio, ".2f"),
            )
            if value is not None
        ]
        return [
            (
                "guided",
                f"{self.guided_steps} of {self.steps} steps, {self.evaluations} evaluations",
            ),
            *([("acted", ", ".join(acted))] if acted else []),
            ("safety", self.safety or settings),
            ("concept", self.concept),
        ]


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None


class Tally:
    """Counts for every row of a call. One observation an evaluation of the guidance (two a step for
    second-order solvers).

    ``guidance`` is that of the call, its warm-up in steps; ``asked`` is the one that was asked for,
    whose warm-up may be a noise level.
    """

    def __init__(self, guidance: Guidance, rows: int, asked: Guidance | None = None) -> None:
        self.guidance, self.asked = guidance, asked or guidance
        self.evaluations = 0
        self._guided: list[set[int]] = [set() for _ in range(rows)]
        self._gate = [[0.0, 0] for _ in range(rows)]
        self._ratio = [[0.0, 0] for _ in range(rows)]

    def observe(self, i: int, estimates: Estimates, correction: Correction) -> None:
        """Count step ``i``."""
        for b, acts in enumerate(correction.acts.tolist()):
            if acts:
                self._guided[b].add(i)
        if correction.gamma is None or correction.gate is None or estimates.uncond is None:
            return
        gate = (correction.gate > 0).float().flatten(1).mean(dim=1).tolist()
        gamma, difference = _norms(correction.gamma), _norms(estimates.prompt - estimates.uncond)
        for b in range(len(gate)):
            if i < self.guidance.row(b).acts_from():
                continue
            self._gate[b][0] += gate[b]
            self._gate[b][1] += 1
            if difference[b] > 0:
                self._ratio[b][0] += gamma[b] / difference[b]
                self._ratio[b][1] += 1

    def unguided_rows(self) -> list[int]:
        """Rows that no step changed."""
        return [b for b, steps in enumerate(self._guided) if not steps]

    def receipts(self, concept: str, steps: int) -> list[Receipt]:
        """One a row."""
        return [self._receipt(b, concept, steps) for b in range(len(self._guided))]

    def _receipt(self, b: int, concept: str, steps: int) -> Receipt:
        settings, asked = self.guidance.row(b), self.asked.row(b)
        name = preset_name(asked) if isinstance(asked, SLD) else "negative prompt"
        return Receipt(
            safety=name,
            concept=concept,
            settings=asdict(settings),  # pyright: ignore[reportArgumentType]  # every guidance is a dataclass
            steps=steps,
            guided_steps=len(self._guided[b]),
            evaluations=self.evaluations,
            gate_open=_mean(*self._gate[b]),
            gamma_ratio=_mean(*self._ratio[b]),
        )


def _norms(x: Tensor) -> list[float]:
    return torch.linalg.vector_norm(x.float().flatten(1), dim=1).tolist()
