"""What the guard did for one image, as counted while it did it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from safelatent.guidance.estimates import Correction, Estimates, Guidance
from safelatent.guidance.sld import SLD, preset_name
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


# An image counts as guided where at least three in four of its steps after the warm-up act. A step
# acts where the guard changes at least this share of the prompt's direction (``gamma_ratio``), or,
# for the baseline, where the concept's estimate is at least this far from the prompt's, relatively.
# Measured on the embedded model, 50 steps: real prompts 0.12 and more at every single step under
# every preset, and 0.002 for the baseline; the concept's embeddings in another order, as prompt or
# as negative prompt, at most 0.001, and 0.00001.
LEAST_GAMMA_RATIO = 1e-2
LEAST_DISTANCE = 1e-4


class Tally:
    """Counts for every row of a call.

    One observation per evaluation of the guidance (two per step for second-order solvers).

    Args:
        guidance: that of the call, its warm-up in steps.
        rows: images of the call.
        asked: the guidance as asked for, whose warm-up may be a noise level.
    """

    def __init__(self, guidance: Guidance, rows: int, asked: Guidance | None = None) -> None:
        self.guidance, self.asked = guidance, asked or guidance
        self.evaluations = 0
        self._guided: list[set[int]] = [set() for _ in range(rows)]
        self._gates: list[list[float]] = [[] for _ in range(rows)]
        self._ratios: list[list[float]] = [[] for _ in range(rows)]
        self._idle = [0] * rows  # evaluations after the warm-up at which next to nothing changed
        self._judged = [0] * rows

    def observe(
        self,
        i: int,
        estimates: Estimates,
        correction: Correction,
        acts: Tensor | None = None,
        evaluations: int = 0,
    ) -> None:
        """Count an evaluation at step ``i``.

        Args:
            acts: (B,) bool, the rows whose estimate was changed; default: ``correction.acts``.
            evaluations: of the denoiser, for each image.
        """
        self.evaluations += evaluations
        for b, one in enumerate((correction.acts if acts is None else acts).tolist()):
            if one:
                self._guided[b].add(i)
        if correction.gamma is None or correction.gate is None or estimates.uncond is None:
            self._observe_baseline(estimates)
            return
        gates = (correction.gate > 0).float().flatten(1).mean(dim=1).tolist()
        gammas, directions = _norms(correction.gamma), _norms(estimates.prompt - estimates.uncond)
        for b, (gate, gamma, direction) in enumerate(zip(gates, gammas, directions, strict=True)):
            if i < self.guidance.row(b).acts_from():
                continue
            self._gates[b].append(gate)
            if direction > 0:
                self._ratios[b].append(gamma / direction)
                self._judge(b, gamma / direction >= LEAST_GAMMA_RATIO)

    def unguided_rows(self) -> list[int]:
        """Return the rows that no step changed."""
        return [b for b, steps in enumerate(self._guided) if not steps]

    def idle_rows(self) -> list[int]:
        """Return the rows of which too many steps after the warm-up changed next to nothing."""
        return [b for b, idle in enumerate(self._idle) if 4 * idle > self._judged[b]]

    def receipts(self, concept: str, steps: int) -> list[Receipt]:
        """Return one receipt per row."""
        return [self._receipt(b, concept, steps) for b in range(len(self._guided))]

    def _observe_baseline(self, estimates: Estimates) -> None:
        if estimates.concept is None:
            return
        distances, sizes = _norms(estimates.concept - estimates.prompt), _norms(estimates.prompt)
        for b, (distance, size) in enumerate(zip(distances, sizes, strict=True)):
            self._judge(b, distance >= LEAST_DISTANCE * size)

    def _judge(self, b: int, acted: bool) -> None:
        self._judged[b] += 1
        self._idle[b] += not acted

    def _receipt(self, b: int, concept: str, steps: int) -> Receipt:
        settings, asked = self.guidance.row(b), self.asked.row(b)
        name = preset_name(asked) if isinstance(asked, SLD) else "negative prompt"
        return Receipt(
            safety=name,
            concept=concept,
            settings=asdict(settings),  # pyright: ignore[reportArgumentType]  # a dataclass
            steps=steps,
            guided_steps=len(self._guided[b]),
            evaluations=self.evaluations,
            gate_open=_mean(self._gates[b]),
            gamma_ratio=_mean(self._ratios[b]),
        )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _norms(x: Tensor) -> list[float]:
    return torch.linalg.vector_norm(x.float().flatten(1), dim=1).tolist()
