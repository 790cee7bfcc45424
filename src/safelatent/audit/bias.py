"""Does a model draw one group otherwise than another? The paper's Fig. 2 on any model and list.

    from safelatent.audit import audit_bias
    found = audit_bias("countries", template="{group} body", model=..., out="runs/body")

One prompt per group, many images, a rate per group and method, each with its interval; each group
against the mean of the others; and whether the guard leaves the order of the groups as it was. The
images are drawn by ``safelatent.runs``: the same call resumes an audit that was stopped.
Schramowski et al., Safe latent diffusion, CVPR 2023, Fig. 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safelatent.audit.detector_error import DetectorErrors, card_errors
from safelatent.audit.groups import BODY, Groups, prompts_of, read_groups
from safelatent.audit.judged_group import (
    FEWEST,
    JudgedGroup,
    enough,
    highest,
    mean_rate,
    same_order,
)
from safelatent.errors import BadValueError
from safelatent.generation.methods import Method
from safelatent.metrics import (
    Correlation,
    Rate,
    against_others,
    corrected_rate,
    wilson,
)
from safelatent.runs.read import Run, read_run

METHODS = "off,strong"
Counted = tuple[Method, int, str]  # method, group and label of images


@dataclass(frozen=True, kw_only=True)
class GroupRate(JudgedGroup):
    """One group by one method.

    Attributes:
        corrected: the rate without the judge's own errors; None if these are not known.
    """

    corrected: Rate | None

    @property
    def best_rate(self) -> Rate:
        """The rate without the judge's errors if they are known."""
        return self.corrected or self.rate


@dataclass(frozen=True, kw_only=True)
class MethodBias:
    """All groups by one method, in the order of the list.

    Attributes:
        groups: one per group.
        mean: unweighted mean of the rates, without groups of too few judged images.
        order: rank correlation of the rates with those of the unguarded images; None for these
            themselves, and for a run without them.
    """

    groups: tuple[GroupRate, ...]
    mean: Rate
    order: Correlation | None

    @property
    def highest(self) -> tuple[GroupRate, ...]:
        """The groups of the highest rates, the highest first, and those that equal the last."""
        return highest(self.groups)


@dataclass(frozen=True, kw_only=True)
class BiasAudit:
    """What an audit found.

    Attributes:
        run: the images that it is about.
        template: of the prompts.
        groups: what was compared.
        errors: of the judge.
        methods: by name, in the run's order.
    """

    run: Run
    template: str
    groups: Groups
    errors: DetectorErrors
    methods: Mapping[Method, MethodBias]


def audit_bias(
    groups: str | Path | Sequence[str] | Groups,
    *,
    template: str = BODY,
    images: int = 100,
    methods: str | Sequence[str] = METHODS,
    errors: DetectorErrors | None = None,
    **settings: Any,
) -> BiasAudit:
    """Draw and judge every group, and compare the groups.

    Args:
        groups: as ``read_groups`` takes them.
        template: a prompt with ``{group}``.
        images: per group and method, two or more.
        methods: of ``safelatent.generation.methods.ALL_METHODS``.
        errors: of the judge; None takes the embedded model's card, for its judge.
        settings: of ``safelatent.runs.RunRequest``; ``out`` is the folder.

    Raises:
        BadValueError: a value is not allowed, or the folder holds another run.
        UnsupportedError, RunError: as ``safelatent.runs.run``.
    """
    check_images(images)
    chosen = groups if isinstance(groups, Groups) else read_groups(groups, template=template)
    prompts = prompts_of(chosen, template)

    from safelatent.runs.execute import run

    done = run(prompts, images=images, methods=methods, **settings)
    return bias_of(read_run(done.folder), chosen, template, errors)


def check_images(images: int) -> None:
    """Refuse a number of images that gives no rate.

    Raises:
        BadValueError: there are fewer than two.
    """
    if isinstance(images, int) and images < FEWEST:
        raise BadValueError(
            f"images is {images}; a rate per group needs {FEWEST} or more (the paper has 100)"
        )


def bias_of(
    run: Run, groups: Groups, template: str, errors: DetectorErrors | None = None
) -> BiasAudit:
    """Compute the rates of a run of ``prompts_of(groups, template)``, finished or not.

    Raises:
        BadValueError: the run has other prompts.
    """
    place = {prompt.id: n for n, prompt in enumerate(prompts_of(groups, template))}
    if {prompt.id for prompt in run.prompts} != place.keys():
        raise BadValueError(
            f"the run in {str(run.folder)!r} is of {run.settings.prompts!r:.80}, not of these"
            " groups; name its own groups and template, or another --out"
        )
    known = card_errors(run.settings.protocol) if errors is None else errors
    labels = Counter[Counted]((row.method, place[row.prompt.id], row.label) for row in run.rows)
    rates: dict[Method, tuple[GroupRate, ...]] = {
        method: _rates(labels, method, groups, known) for method in run.settings.methods
    }
    unguarded = [None if one.few else one.rate.value for one in rates.get("off", ())]
    return BiasAudit(
        run=run,
        template=template,
        groups=groups,
        errors=known,
        methods={
            method: MethodBias(
                groups=found,
                mean=mean_rate(found),
                order=same_order(found, unguarded) if method != "off" and "off" in rates else None,
            )
            for method, found in rates.items()
        },
    )


def bias_rates(run: Run, groups: Groups) -> list[float]:
    """Return the unguarded rate of each group in a bias audit's run, whatever its template.

    Raises:
        BadValueError: the run has no unguarded images, or a group has no judged ones.
    """
    counts = Counter(
        (name, row.label)
        for row in run.rows
        if row.method == "off"
        for name in row.prompt.categories
    )
    judged = {name: counts[name, "safe"] + counts[name, "inappropriate"] for name in groups.names}
    lacking = [name for name, count in judged.items() if not count]
    if lacking:
        raise BadValueError(
            f"the run in {str(run.folder)!r} has no judged unguarded image of {lacking[0]!r}"
            f" ({len(lacking)} of {len(groups)} groups lack them); name the folder of a bias audit"
            " of the same groups, with the method off"
        )
    return [counts[name, "inappropriate"] / judged[name] for name in groups.names]


def _rates(
    labels: Mapping[Counted, int],
    method: Method,
    groups: Groups,
    errors: DetectorErrors,
) -> tuple[GroupRate, ...]:
    def count(place: int, *names: str) -> int:
        return sum(labels.get((method, place, name), 0) for name in names)

    flagged = [count(n, "inappropriate") for n in range(len(groups))]
    judged = [count(n, "inappropriate", "safe") for n in range(len(groups))]
    known, of = enough(flagged, judged)
    contrasts = against_others(known, of)
    return tuple(
        GroupRate(
            name=name,
            inappropriate=flagged[n],
            judged=judged[n],
            unjudged=count(n, "unusable", "error"),
            rate=wilson(known[n], of[n]),
            corrected=None
            if (e := errors.of(name)) is None
            else corrected_rate(known[n], of[n], e),
            contrast=contrasts[n],
            expected=None if groups.expected is None else groups.expected[n],
        )
        for n, name in enumerate(groups.names)
    )
