"""A plan of evaluations: which passes of the denoiser guarded calls pay for.

At every step the prompt's prediction ``e_p`` is evaluated. The unconditional ``e_u`` and the
concept's ``e_S`` are evaluated, reused (see ``evaluations``) or left out. ``EXACT`` leaves out only
what cannot change the image. All guidance may end at a noise level; a plan in which the concept's
ends before the prompt's cannot be written down, since the concept's content would come back.

Knows guidances and noise levels; does not know models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from safelatent.errors import BadValueError, NotGuardedError
from safelatent.guidance.estimates import Choosing, Guidance
from safelatent.guidance.evaluations import OFF, CallPlan, Look, Source
from safelatent.guidance.noise import (
    PAPER_STEPS,
    ROUNDING,
    NoiseLevel,
    paper_noise_level,
    real_number,
    shown,
)
from safelatent.hashing import digest

Band = tuple[float, int]  # from this noise level on, every so manieth step
# All guidance may end here at the earliest: the middle of the paper's runs, where the longest
# warm-up ends too.
EARLIEST_END = paper_noise_level(PAPER_STEPS // 2)
LEAST_GUIDED = 0.1  # of the steps of a call


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which evaluations guarded calls pay for, whatever their number of steps.

    ``Plan()`` is ``EXACT``. ``str(plan)`` is what ``parse`` reads: ``exact``, or for example
    ``concept=5,until=0.6``.

    Attributes:
        concept: evaluate the concept at every so manieth step that needs it, and reuse its
            direction at the others; or pairs of a noise level and such a number, which holds from
            that level on, the first from 1.
        uncond: likewise for the unconditional prediction, which is always evaluated with the
            concept.
        until: the noise level at which all guidance ends, the prompt's and the concept's: later
            steps follow the prompt's prediction alone. None: it does not end.

    Raises:
        BadValueError: a number that is not whole and at least 1, levels that do not fall from 1,
            or guidance that ends before the middle of the paper's runs.
    """

    concept: int | tuple[Band, ...] = 1
    uncond: int | tuple[Band, ...] = 1
    until: NoiseLevel | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "concept", _every("concept", self.concept))
        object.__setattr__(self, "uncond", _every("uncond", self.uncond))
        until = self.until
        if until is None:
            return
        if not isinstance(until, NoiseLevel):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadValueError(f"until is {shown(until)}; it must be a NoiseLevel, or None")
        if until.level > EARLIEST_END * (1 + ROUNDING):
            raise BadValueError(
                f"until is {until.level:g}; guidance may end at a noise level of at most "
                f"{EARLIEST_END:.3f}, the middle of the paper's runs"
            )

    @classmethod
    def parse(cls, text: Plan | str) -> Plan:
        """Return the plan of a text as ``str`` writes it; a plan is returned as it is.

        Raises:
            BadValueError: the text is no plan.
        """
        if isinstance(text, Plan):
            return text
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadValueError(f"the plan is {shown(text)}; it must be a Plan or text, as 'exact'")
        if text.strip() == "exact":
            return EXACT
        given = [part.partition("=")[::2] for part in text.split(",")]
        names = [name.strip() for name, _ in given]
        if set(names) - {"concept", "uncond", "until"} or len(set(names)) < len(names):
            raise BadValueError(
                f"the plan is {shown(text)}; it must be 'exact', or name some of concept, uncond "
                "and until, each once, as in 'concept=5,until=0.6'"
            )
        values = dict(zip(names, (value.strip() for _, value in given), strict=True))
        until = values.pop("until", None)
        every = {name: _parsed_bands(text, value) for name, value in values.items()}
        return cls(
            concept=every.get("concept", 1),
            uncond=every.get("uncond", 1),
            until=None if until is None else NoiseLevel(_parsed_number(text, until)),
        )

    def __str__(self) -> str:
        every = {"concept": _written(self.concept), "uncond": _written(self.uncond)}
        parts = [f"{name}={value}" for name, value in every.items() if value != "1"]
        parts += [] if self.until is None else [f"until={self.until.level!r}"]
        return ",".join(parts) or "exact"

    @property
    def hash(self) -> str:
        """The sha256 of all that determines the plan."""
        return digest(str(self))

    def check(self, guidance: Guidance) -> None:
        """Refuse a guidance that can follow the exact plan alone.

        Raises:
            BadValueError: the concept takes the unconditional prediction's place.
        """
        if self != EXACT and not guidance.needs_uncond:
            raise BadValueError(
                f"the plan is '{self}' and the safety {guidance!r}, which evaluates nothing that "
                "could be reused; take plan='exact'"
            )

    def on(
        self,
        guidance: Guidance,
        levels: Sequence[float],
        *,
        order: int = 1,
        evaluations: int | None = None,
        negative: bool = False,
    ) -> CallPlan:
        """Return the plan for one call.

        Args:
            guidance: settings for the call, their warm-up in steps.
            levels: the noise level of every step.
            order: looks at each step: a second-order solver takes two.
            evaluations: looks in all, where the last steps have fewer.
            negative: whether a negative prompt has the empty one's place.

        Raises:
            NotGuardedError: guidance would end at, or just after, the end of the warm-up.
            BadValueError: see ``check``.
        """
        self.check(guidance)
        end = len(levels) if self.until is None else self.until.steps(levels)
        warmups = [guidance.row(b).acts_from() for b in range(guidance.rows or 1)]
        self._check_end(end, max(warmups), len(levels))
        looks: list[Look] = []
        last = _Last()
        for i, level in enumerate(levels):
            if i >= end:
                looks += [OFF] * order
                continue
            first, last = self._first(guidance, i, level, last, negative)
            looks += [first, *[self._again(first, level, i < min(warmups))] * (order - 1)]
        return CallPlan(tuple(looks[:evaluations]))

    def _first(
        self, guidance: Guidance, i: int, level: float, last: _Last, negative: bool
    ) -> tuple[Look, _Last]:
        """Return the first look at step ``i``, and the last evaluations after it."""
        concept = _due(guidance.needs_concept(i), i, last.concept, _at(self.concept, level))
        choices: int = 0
        empty: Source = "unused"
        if isinstance(guidance, Choosing) and concept != "unused":
            if _due(True, i, last.choice, guidance.every) == "evaluated":
                concept, choices = "evaluated", len(guidance.names)
            empty = "unused" if not negative else "evaluated" if choices else "reused"
        uncond = _due(guidance.needs_uncond, i, last.uncond, _at(self.uncond, level))
        if concept == "evaluated" and guidance.needs_uncond:
            uncond = "evaluated"
        return Look(uncond=uncond, concept=concept, choices=choices, empty=empty), _Last(
            uncond=i if uncond == "evaluated" else last.uncond,
            concept=i if concept == "evaluated" else last.concept,
            choice=i if choices else last.choice,
        )

    def _again(self, first: Look, level: float, warming_up: bool) -> Look:
        """Return a solver's further looks at a step.

        They do not move the momentum, so in the warm-up the concept changes nothing there.
        """
        again = first
        fast = _at(self.concept, level) > 1 and not first.choices
        if first.concept == "evaluated" and (warming_up or fast):
            again = replace(again, concept="reused", choices=0)
        if first.uncond == "evaluated" and _at(self.uncond, level) > 1:
            again = replace(again, uncond="reused")
        return again

    def _check_end(self, end: int, warmup: int, steps: int) -> None:
        if self.until is not None and end - warmup < max(1.0, LEAST_GUIDED * steps):
            raise NotGuardedError(
                f"the plan '{self}' ends all guidance at step {end} of {steps}, and the warm-up "
                f"ends at step {warmup}: the guard would change next to nothing; end guidance at "
                "a lower noise level, take more steps or a shorter warm-up"
            )


@dataclass(frozen=True, kw_only=True)
class _Last:
    """The steps of the last evaluations of a call, and of the last choice among concepts."""

    uncond: int | None = None
    concept: int | None = None
    choice: int | None = None


def _due(needed: bool, i: int, last: int | None, every: int) -> Source:
    if not needed:
        return "unused"
    return "evaluated" if last is None or i - last >= every else "reused"


def _at(bands: int | tuple[Band, ...], level: float) -> int:
    """Return the number that holds at a noise level; rounding delays no band."""
    if isinstance(bands, int):
        return bands
    return [k for start, k in bands if level <= start * (1 + ROUNDING)][-1]


def _every(name: str, value: object) -> int | tuple[Band, ...]:
    if not isinstance(value, list | tuple):
        return _whole(name, value)
    pairs = cast("Sequence[object]", value)
    bands: list[Band] = []
    for pair in pairs:
        start, every = _pair(name, pair)
        level = real_number(start)
        limit = bands[-1][0] if bands else None
        if level is None or (level != 1 if limit is None else not 0 < level < limit):
            raise BadValueError(
                f"{name} has the noise level {shown(start)}; levels begin at 1 and fall, above 0"
            )
        bands.append((level, _whole(name, every)))
    if not bands:
        raise BadValueError(
            f"{name} is {shown(pairs)}; give a number, or pairs of level and number"
        )
    return bands[0][1] if len(bands) == 1 else tuple(bands)


def _pair(name: str, value: object) -> tuple[object, object]:
    pair = cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()
    if len(pair) != 2:
        raise BadValueError(f"{name} has {shown(pair)}; it must be pairs (noise level, number)")
    return pair[0], pair[1]


def _whole(name: str, value: object) -> int:
    number = real_number(value)
    if number is None or not number.is_integer() or number < 1:
        raise BadValueError(f"{name} is {shown(value)}; it must be a whole number of at least 1")
    return int(number)


def _written(bands: int | tuple[Band, ...]) -> str:
    if isinstance(bands, int):
        return str(bands)
    return "/".join(str(k) if n == 0 else f"{k}@{level!r}" for n, (level, k) in enumerate(bands))


def _parsed_bands(text: str, value: str) -> tuple[Band, ...]:
    """Return the bands of ``2/5@0.7``: every second step, and every fifth from level 0.7 on."""
    bands: list[Band] = []
    for n, part in enumerate(value.split("/")):
        number, _, level = part.partition("@")
        start = 1.0 if n == 0 and not level else _parsed_number(text, level)
        bands.append((start, _whole("the plan's number of steps", _parsed_number(text, number))))
    return tuple(bands)


def _parsed_number(text: str, number: str) -> float:
    try:
        return float(number)
    except ValueError:
        raise BadValueError(
            f"the plan is {shown(text)}, and {number!r} in it is no number; "
            "write it as in 'exact' or 'concept=2/5@0.7,uncond=2,until=0.6'"
        ) from None


EXACT = Plan()
