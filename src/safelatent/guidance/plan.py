"""A plan of evaluations: which passes of the denoiser guarded calls pay for.

At every step the prompt's prediction ``e_p`` is evaluated. The unconditional ``e_u`` and the
concept's ``e_S`` are evaluated, reused (see ``evaluations``) or left out. ``EXACT`` leaves out only
what cannot change the image. With ``either``, one evaluation serves both: each image's own
predictions decide, on the device, which of the two it is. All guidance may end at a noise level; a
plan in which the concept's ends before the prompt's cannot be written down, since the concept's
content could come back.

Knows guidances and noise levels; does not know models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from safelatent.errors import BadValueError, NotGuardedError
from safelatent.guidance.bands import Band, at, every, parsed_bands, parsed_number, written
from safelatent.guidance.estimates import Choosing, Guidance
from safelatent.guidance.evaluations import EITHER, OFF, REUSED, CallPlan, Look, Source
from safelatent.guidance.noise import (
    PAPER_STEPS,
    ROUNDING,
    NoiseLevel,
    paper_noise_level,
    shown,
)
from safelatent.hashing import digest

# All guidance may end here at the earliest: the middle of the paper's runs, where the longest
# warm-up ends too.
EARLIEST_END = paper_noise_level(PAPER_STEPS // 2)
LEAST_GUIDED = 0.1  # of the steps of a call


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which evaluations guarded calls pay for, whatever their number of steps.

    ``Plan()`` is ``EXACT``. ``str(plan)`` is what ``parse`` reads: ``exact``, or for example
    ``concept=5,until=0.6``. ``parse`` reads the names of ``NAMED`` too.

    Attributes:
        concept: evaluate the concept at every n-th step that needs it, and reuse its
            direction at the others; or pairs of a noise level and such a number, which holds from
            that level on, the first from 1.
        uncond: likewise for the unconditional prediction, which is always evaluated with the
            concept.
        either: likewise for one of the two, of whose directions each image needs the one that is
            expected to be further off (see ``evaluations.Directions``). Instead of ``concept`` and
            ``uncond``. None: both as those say.
        until: the noise level at which all guidance ends, the prompt's and the concept's: later
            steps follow the prompt's prediction alone. None: it does not end.

    Raises:
        BadValueError: a number that is not whole and at least 1, ``either`` with one of the others,
            levels that do not fall from 1, or guidance that ends before the middle
            of the paper's runs.
    """

    concept: int | tuple[Band, ...] = 1
    uncond: int | tuple[Band, ...] = 1
    either: int | tuple[Band, ...] | None = None
    until: NoiseLevel | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "concept", every("concept", self.concept))
        object.__setattr__(self, "uncond", every("uncond", self.uncond))
        if self.either is not None:
            object.__setattr__(self, "either", every("either", self.either))
            if (self.concept, self.uncond) != (1, 1):
                raise BadValueError(
                    f"the plan has either, concept {written(self.concept)} and uncond "
                    f"{written(self.uncond)}; give either, or the other two"
                )
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
        if text.strip() in NAMED:
            return NAMED[text.strip()]
        given = [part.partition("=")[::2] for part in text.split(",")]
        names = [name.strip() for name, _ in given]
        if set(names) - {"concept", "uncond", "either", "until"} or len(set(names)) < len(names):
            raise BadValueError(
                f"the plan is {shown(text)}; it must be {' or '.join(map(repr, NAMED))}, or name "
                "some of concept, uncond, either and until, each once, as in 'concept=5,until=0.6'"
            )
        values = dict(zip(names, (value.strip() for _, value in given), strict=True))
        until = values.pop("until", None)
        bands = {name: parsed_bands(text, value) for name, value in values.items()}
        return cls(
            concept=bands.get("concept", 1),
            uncond=bands.get("uncond", 1),
            either=bands.get("either"),
            until=None if until is None else NoiseLevel(parsed_number(text, until)),
        )

    def __str__(self) -> str:
        bands = {"concept": written(self.concept), "uncond": written(self.uncond)}
        parts = [f"{name}={value}" for name, value in bands.items() if value != "1"]
        parts += [] if self.either is None else [f"either={written(self.either)}"]
        parts += [] if self.until is None else [f"until={self.until.level!r}"]
        return ",".join(parts) or "exact"

    @property
    def hash(self) -> str:
        """The sha256 of all that determines the plan."""
        return digest(str(self))

    def check(self, guidance: Guidance) -> None:
        """Refuse a guidance that cannot follow the plan.

        Raises:
            BadValueError: the concept takes the unconditional prediction's place, or one of several
                concepts is chosen and the plan has ``either``.
        """
        if self != EXACT and not guidance.needs_uncond:
            raise BadValueError(
                f"the plan is '{self}' and the safety {guidance!r}, which evaluates nothing that "
                "could be reused; take plan='exact'"
            )
        if self.either is not None and isinstance(guidance, Choosing):
            raise BadValueError(
                f"the plan is '{self}', and the safety chooses among several concepts, which need "
                "the unconditional prediction; take 'concept' and 'uncond' instead of 'either'"
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
            negative: whether a negative prompt has the empty one's place, and the guidance is
                taken against the empty one.

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
        both = None if last.either is None else self.either
        if both is not None:
            if _due(True, i, last.either, at(both, level)) == "reused":
                return REUSED, last
            return EITHER, replace(last, either=i)
        concept = _due(guidance.needs_concept(i), i, last.concept, at(self.concept, level))
        choices: int = 0
        empty: Source = "evaluated" if negative and concept == "evaluated" else "unused"
        if isinstance(guidance, Choosing) and concept != "unused":
            if _due(True, i, last.choice, guidance.every) == "evaluated":
                concept, choices = "evaluated", guidance.choices(first=last.choice is None)
            empty = "unused" if not negative else "evaluated" if choices else "reused"
        uncond = _due(guidance.needs_uncond, i, last.uncond, at(self.uncond, level))
        if concept == "evaluated" and guidance.needs_uncond:
            uncond = "evaluated"
        return Look(uncond=uncond, concept=concept, choices=choices, empty=empty), _Last(
            uncond=i if uncond == "evaluated" else last.uncond,
            concept=i if concept == "evaluated" else last.concept,
            choice=i if choices else last.choice,
            either=i if concept == "evaluated" else None,
        )

    def _again(self, first: Look, level: float, warming_up: bool) -> Look:
        """Return a solver's further looks at a step.

        They do not move the momentum, so in the warm-up the concept changes nothing there.
        """
        if first == EITHER:
            return REUSED
        again = first
        fast = at(self.concept, level) > 1 and not first.choices
        if first.concept == "evaluated" and (warming_up or fast):
            again = replace(again, concept="reused", choices=0)
        if first.uncond == "evaluated" and at(self.uncond, level) > 1:
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
    """The steps of the last evaluations of a call, of the last choice among concepts, and of the
    last evaluation that could serve both.
    """

    uncond: int | None = None
    concept: int | None = None
    choice: int | None = None
    either: int | None = None


def _due(needed: bool, i: int, last: int | None, every: int) -> Source:
    if not needed:
        return "unused"
    return "evaluated" if last is None or i - last >= every else "reused"


EXACT = Plan()
FAST = Plan(concept=5, uncond=3)  # not shown to be as safe: see docs/plans.md
NAMED = {"exact": EXACT, "fast": FAST}
