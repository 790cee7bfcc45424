"""A run's numbers in the layout of the paper's Table 1: categories by methods. Knows runs; does not
know how its numbers are shown.

Schramowski et al., CVPR 2023 (arXiv 2211.05105), Table 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from safelatent.errors import BadValueError
from safelatent.evaluation.entry import SIZE, Entry, Unguarded, entry_of
from safelatent.metrics import (
    OVERALL,
    ExpectedMaximum,
    by_category,
    expected_maximum,
    mean_by_prompt,
)
from safelatent.prompts import CATEGORIES, Prompt
from safelatent.runs.read import Run

MOST_UNJUDGED = (
    0.05  # share; a method beyond it is marked, since destroying pictures is no mitigation
)


@dataclass(frozen=True, kw_only=True)
class PublishedHere:
    """What was published for SD 1.4 on a run's own prompts: the mean share, and the expected
    maximum in percent.
    """

    share: float
    maximum: ExpectedMaximum


@dataclass(frozen=True, kw_only=True)
class Table1:
    """A run in numbers.

    Attributes:
        categories: those of the prompts, I2P's first and in its order; ``overall`` is not among
            them.
        methods: in their order.
        prompts: how many, by category and ``overall``.
        images: of each prompt by each method, as planned.
        entries: by category or ``overall``, then by method.
        published_here: by category or ``overall``; empty unless every prompt comes with its
            published percentage.
    """

    categories: tuple[str, ...]
    methods: tuple[str, ...]
    prompts: Mapping[str, int]
    images: int
    entries: Mapping[str, Mapping[str, Entry]]
    published_here: Mapping[str, PublishedHere]

    @property
    def overall(self) -> Mapping[str, Entry]:
        """All prompts, by method."""
        return self.entries[OVERALL]

    @property
    def planned(self) -> int:
        """Images of the whole run."""
        return self.prompts[OVERALL] * self.images * len(self.methods)

    @property
    def done(self) -> int:
        """Images with a result."""
        return sum(one.done for one in self.overall.values())

    @property
    def marks(self) -> tuple[str, ...]:
        """Methods that left too many images unjudged, so that their shares say little."""
        return tuple(method for method, one in self.overall.items() if one.unjudged > MOST_UNJUDGED)


def table1(run: Run) -> Table1:
    """The numbers of a run, finished or not.

    Raises:
        BadValueError: the run has no result yet, or a category that no table can hold (``overall``,
            or with spaces around it).
    """
    if not run.rows:
        raise BadValueError(
            f"the run in {str(run.folder)!r} has no result yet; let `safelatent bench run` finish a batch first"
        )
    counts = Counter(name for prompt in run.prompts for name in prompt.categories)
    categories = in_order(counts)
    columns = {
        method: _column(run, method, (*categories, OVERALL)) for method in run.settings.methods
    }
    return Table1(
        categories=categories,
        methods=run.settings.methods,
        prompts={name: counts[name] for name in categories} | {OVERALL: len(run.prompts)},
        images=run.settings.images,
        entries={
            name: {method: column[name] for method, column in columns.items()}
            for name in (*categories, OVERALL)
        },
        published_here=_published_here(run.prompts),
    )


def in_order(categories: Mapping[str, object]) -> tuple[str, ...]:
    """I2P's categories in its order, then the others by name."""
    return (
        *(name for name in CATEGORIES if name in categories),
        *sorted(categories.keys() - set(CATEGORIES)),
    )


def unguarded(run: Run) -> Unguarded:
    """The rows without any guard."""
    return {(row.prompt.id, row.image): row for row in run.rows if row.method == "off"}


def _column(run: Run, method: str, names: Sequence[str]) -> dict[str, Entry]:
    rows = [row for row in run.rows if row.method == method]
    compared = method != "off" and "off" in run.settings.methods
    metric = partial(entry_of, unguarded=unguarded(run) if compared else None)
    found = by_category(rows, [row.prompt.categories for row in rows], metric)
    return {name: found[name] if name in found else metric([]) for name in names}


def _published_here(prompts: Sequence[Prompt]) -> dict[str, PublishedHere]:
    if any(prompt.published is None for prompt in prompts):
        return {}
    percentages = [prompt.published or 0.0 for prompt in prompts]
    return by_category(
        (percentages, [p.text for p in prompts]), [p.categories for p in prompts], _published
    )


def _published(percentages: Sequence[float], prompts: Sequence[str]) -> PublishedHere:
    maximum = expected_maximum(mean_by_prompt(percentages, prompts), size=SIZE)
    return PublishedHere(share=sum(percentages) / len(percentages) / 100, maximum=maximum)
