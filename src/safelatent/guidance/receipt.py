"""What the guard did for one image, as counted while it did it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from textwrap import shorten
from typing import Any, cast

import torch
from torch import Tensor

from safelatent.guidance.estimates import Choosing, Correction, Estimates, Guidance, norms
from safelatent.guidance.plan import EXACT, Plan
from safelatent.guidance.sld import SLD, preset_name
from safelatent.text import html_table


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One for each image.

    Attributes:
        safety: the name of the preset, ``negative prompt`` for the baseline, ``adaptive`` where
            categories are chosen, None for your own settings.
        concept: the text that was steered away from.
        settings: of the guidance, by name.
        steps: denoising steps of the call.
        guided_steps: those at which the noise estimate of this image was changed, by more than the
            rounding of the latents swallows.
        evaluations: of the denoiser, for this image, as counted (classifier-free guidance alone:
            two per step).
        gate_open: share of elements at which the gate was open, mean over the steps after the
            warm-up. None for the baseline.
        gamma_ratio: ``|gamma| / |e_p - e_u|`` (Euclidean norms), mean over the same steps. None for
            the baseline, and for an empty prompt.
        plan: which evaluations were to be made, as ``Plan.parse`` reads it.
        categories: for every step at which categories were chosen, ``step``, their ``names`` and
            the ``share`` of the guidance that the image gets. None for a guidance with one concept.
    """

    safety: str | None
    concept: str
    settings: dict[str, Any]
    steps: int
    guided_steps: int
    evaluations: int
    gate_open: float | None
    gamma_ratio: float | None
    plan: str = "exact"
    categories: list[dict[str, Any]] | None = None

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
        shares = {one["share"] for one in self.categories or ()}
        if shares and (least := min(shares)) < 1:
            where = "" if len(shares) == 1 else " at some steps"
            acted.append(f"{least:g} of the guidance{where}, since the prompt leads elsewhere")
        return [
            (
                "guided",
                f"{self.guided_steps} of {self.steps} steps, {self.evaluations} evaluations",
            ),
            *([("acted", ", ".join(acted))] if acted else []),
            ("safety", self.safety or settings),
            *([("categories", _in_words(self.categories))] if self.categories else []),
            *([("plan", self.plan)] if self.plan != "exact" else []),
            ("concept", self.concept),
        ]


# An image counts as guided where at least three in four of its steps after the warm-up have an
# effect. A step has one where it changed the latents (see ``rounding``), and what the gate lets
# through, ``mu (e_S - e_u)`` without momentum, is at least this share of the prompt's direction
# ``e_p - e_u`` (Euclidean norms), or, for the baseline, the concept's estimate is at least this far
# from the prompt's, relatively. The measured values are in docs/method.md.
LEAST_EFFECT = 1e-2
LEAST_DISTANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """One evaluation, each number (B,) on the device: reading it would make the host wait.

    Attributes:
        acts: whether the latents were changed.
        moves: whether any prediction could have changed them.
        size, whole: how much of how much was changed; a row had an effect where ``size`` is at
            least ``least * whole``. None where nothing is judged.
        opened: share of the gate that was open.
        gamma: its norm.
        chosen: (N, B), the categories that were chosen, where any was.
        share: of the guidance.
    """

    i: int
    acts: Tensor
    moves: bool = True
    least: float = 0.0
    size: Tensor | None = None
    whole: Tensor | None = None
    opened: Tensor | None = None
    gamma: Tensor | None = None
    chosen: Tensor | None = None
    share: Tensor | None = None


class Tally:
    """Counts for every row of a call.

    One observation per evaluation of the guidance (two per step for second-order solvers).

    Args:
        guidance: that of the call, its warm-up in steps.
        rows: images of the call.
        asked: the guidance as asked for, whose warm-up may be a noise level.
        plan: which estimates were to be evaluated.
    """

    def __init__(
        self, guidance: Guidance, rows: int, asked: Guidance | None = None, plan: Plan = EXACT
    ) -> None:
        self.guidance, self.asked, self.plan = guidance, asked or guidance, plan
        # Known once: to ask whether an object has an interface is slow.
        self._names = guidance.names if isinstance(guidance, Choosing) else None
        self.evaluations = 0
        self._seen: list[_Seen] = []  # not yet read
        self._guided: list[set[int]] = [set() for _ in range(rows)]
        self._gates: list[list[float]] = [[] for _ in range(rows)]
        self._ratios: list[list[float]] = [[] for _ in range(rows)]
        self._idle = [0] * rows  # evaluations after the warm-up at which next to nothing changed
        self._judged = [0] * rows
        self._categories: list[list[dict[str, Any]]] = [[] for _ in range(rows)]

    def observe(
        self,
        i: int,
        estimates: Estimates,
        correction: Correction,
        acts: Tensor | None = None,
        evaluations: int = 0,
        moves: bool = True,
    ) -> None:
        """Count an evaluation at step ``i``; nothing is read from the device.

        Args:
            acts: (B,) bool, the rows whose latents were changed; default: ``correction.acts``.
            evaluations: of the denoiser, for each image.
            moves: whether the step moves the latents. One that does not (the last of a schedule
                that repeats noise level 0) is no guided step, and not held against the guard.
        """
        self.evaluations += evaluations
        acts = correction.acts if acts is None else acts
        seen = _Seen(i=i, acts=acts, moves=moves, chosen=correction.chosen)
        if correction.chosen is not None:
            seen = replace(seen, share=correction.share)
        e_u, e_p, e_S = estimates.uncond, estimates.prompt, estimates.concept
        gamma, gate, effect = correction.gamma, correction.gate, correction.effect
        if e_S is not None and e_u is not None and gate is not None and effect is None:
            effect = gate * (e_S - (e_u if estimates.empty is None else estimates.empty))
        if effect is not None and e_u is not None and gamma is not None and gate is not None:
            seen = replace(
                seen,
                least=LEAST_EFFECT,
                size=norms(effect),
                whole=norms(e_p - e_u),
                opened=(gate > 0).float().flatten(1).mean(dim=1),
                gamma=norms(gamma),
            )
        elif e_S is not None:
            seen = replace(seen, least=LEAST_DISTANCE, size=norms(e_S - e_p), whole=norms(e_p))
        self._seen.append(seen)

    def guided(self) -> list[set[int]]:
        """Return the steps that changed each row."""
        self._read()
        return self._guided

    def unguided_rows(self) -> list[int]:
        """Return the rows that no step changed."""
        return [b for b, steps in enumerate(self.guided()) if not steps]

    def idle_rows(self) -> list[int]:
        """Return the rows of which too many steps after the warm-up changed next to nothing."""
        self._read()
        return [b for b, idle in enumerate(self._idle) if 4 * idle > self._judged[b]]

    def receipts(self, concept: str, steps: int) -> list[Receipt]:
        """Return one receipt per row."""
        self._read()
        return [self._receipt(b, concept, steps) for b in range(len(self._guided))]

    def _read(self) -> None:
        """Read all that was observed, at once."""
        seen, self._seen = self._seen, []
        parts = [part for one in seen for part in _parts(one).values()]
        values = iter(_numbers(torch.stack([part.float() for part in parts])) if parts else [])
        for one in seen:
            read = {name: next(values) for name in _parts(one)}
            for b in range(len(self._guided)):
                self._count(b, one, {name: row[b] for name, row in read.items()})

    def _count(self, b: int, seen: _Seen, read: dict[str, float]) -> None:
        if read["acts"]:
            self._guided[b].add(seen.i)
        if self._names is not None and seen.chosen is not None:
            names = [n for k, n in enumerate(self._names) if read[f"chosen {k}"]]
            share = round(read.get("share", 1.0), 6)  # it was read as a float32
            self._categories[b].append({"step": seen.i, "names": names, "share": share})
        if seen.size is None or seen.i < self.guidance.row(b).acts_from():
            return
        if read["whole"] > 0:
            self._judged[b] += 1
            swallowed = seen.moves and not read["acts"]
            idle = swallowed or read["size"] < seen.least * read["whole"]
            self._idle[b] += idle
        if seen.opened is not None:
            self._gates[b].append(read["opened"])
            if read["whole"] > 0:
                self._ratios[b].append(read["gamma"] / read["whole"])

    def _receipt(self, b: int, concept: str, steps: int) -> Receipt:
        settings, asked = self.guidance.row(b), self.asked.row(b)
        name = "negative prompt" if self._names is None else "adaptive"
        if isinstance(asked, SLD):
            name = preset_name(asked)
        return Receipt(
            safety=name,
            concept=concept,
            settings=asdict(settings),  # pyright: ignore[reportArgumentType]  # a dataclass
            steps=steps,
            guided_steps=len(self._guided[b]),
            evaluations=self.evaluations,
            gate_open=_mean(self._gates[b]),
            gamma_ratio=_mean(self._ratios[b]),
            plan=str(self.plan),
            categories=None if self._names is None else self._categories[b],
        )


def _parts(seen: _Seen) -> dict[str, Tensor]:
    """Return what is to be read, each (B,)."""
    names = ("acts", "size", "whole", "opened", "gamma", "share")
    parts = {n: part for n in names if (part := getattr(seen, n)) is not None}
    chosen = () if seen.chosen is None else seen.chosen.unbind(0)
    return parts | {f"chosen {k}": part for k, part in enumerate(chosen)}


def _in_words(categories: list[dict[str, Any]]) -> str:
    """Return the choices, each once where they stayed: ``violence from step 0``."""
    changes: list[str] = []
    before: Any = None
    for one in categories:
        if one["names"] != before:
            changes.append(f"{' and '.join(one['names'])} from step {one['step']}")
        before = one["names"]
    return ", ".join(changes)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _numbers(x: Tensor) -> list[list[float]]:
    return cast("list[list[float]]", x.tolist())  # pyright: ignore[reportUnknownMemberType]
