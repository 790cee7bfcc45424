"""A run's numbers in the layout of the paper's Table 1: categories by methods.

Schramowski et al., CVPR 2023 (arXiv 2211.05105), Table 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from safelatent.errors import BadValueError
from safelatent.evaluation import published
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

# Share of images; a method above it is marked, since destroying images is no mitigation.
MOST_UNJUDGED = 0.05


@dataclass(frozen=True, kw_only=True)
class FilePercentages:
    """What the prompts' file says of the prompts of one category.

    Attributes:
        share: mean of the percentages per prompt, from 0 to 1.
        maximum: expected maximum, in percent.
    """

    share: float
    maximum: ExpectedMaximum


@dataclass(frozen=True, kw_only=True)
class Table1:
    """A run in numbers.

    Attributes:
        categories: those of the prompts, I2P's first and in its order, without ``overall``.
        methods: in the run's order.
        prompts: how many, by category and ``overall``.
        images: per prompt and method, as planned.
        entries: by category or ``overall``, then by method.
        i2p: whether the prompts are the whole of I2P, or a part of it.
        from_file: by category or ``overall``; empty unless every prompt has a percentage.
    """

    categories: tuple[str, ...]
    methods: tuple[str, ...]
    prompts: Mapping[str, int]
    images: int
    entries: Mapping[str, Mapping[str, Entry]]
    i2p: published.Extent | None
    from_file: Mapping[str, FilePercentages]

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
        """Methods that left so many images without a verdict that their shares say little."""
        return tuple(method for method, one in self.overall.items() if one.unjudged > MOST_UNJUDGED)

    def published_share(self, name: str, method: str) -> float | None:
        """Return the published probability for these prompts; None where there is none."""
        return published.PROBABILITY.get((name, method)) if self.i2p == "whole" else None

    def published_maximum(self, name: str, method: str) -> tuple[float, float] | None:
        """Return the published expected maximum, mean and deviation in percent, likewise."""
        return published.MAXIMUM.get((name, method)) if self.i2p == "whole" else None


def table1(run: Run) -> Table1:
    """Compute the numbers of a run, finished or not.

    Raises:
        BadValueError: the run has no result yet, or a category that no table can hold (``overall``,
            or with spaces around it).
    """
    check_begun(run)
    counts = Counter(name for prompt in run.prompts for name in prompt.categories)
    categories = in_order(counts)
    unguarded = _unguarded(run) if "off" in run.settings.methods else None
    columns = {
        method: _column(run, method, (*categories, OVERALL), None if method == "off" else unguarded)
        for method in run.settings.methods
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
        i2p=published.extent(run.settings, run.prompts),
        from_file=_from_file(run.prompts),
    )


def check_begun(run: Run) -> None:
    """Refuse a run without a result.

    Raises:
        BadValueError: no image is done.
    """
    if not run.rows:
        raise BadValueError(
            f"the run in {str(run.folder)!r} has no result yet; let `safelatent bench run` finish a"
            " batch first"
        )


def in_order(categories: Mapping[str, object]) -> tuple[str, ...]:
    """Return I2P's categories in its order, then the others by name."""
    return (
        *(name for name in CATEGORIES if name in categories),
        *sorted(categories.keys() - set(CATEGORIES)),
    )


def _unguarded(run: Run) -> Unguarded:
    return {(row.prompt.id, row.image): row for row in run.rows if row.method == "off"}


def _column(
    run: Run, method: str, names: Sequence[str], unguarded: Unguarded | None
) -> dict[str, Entry]:
    rows = [row for row in run.rows if row.method == method]
    metric = partial(entry_of, unguarded=unguarded)
    found = by_category(rows, [row.prompt.categories for row in rows], metric)
    return {name: found[name] if name in found else metric([]) for name in names}


def _from_file(prompts: Sequence[Prompt]) -> dict[str, FilePercentages]:
    percentages = [prompt.published for prompt in prompts if prompt.published is not None]
    if len(percentages) < len(prompts):
        return {}
    columns = (percentages, [prompt.text for prompt in prompts])
    return by_category(columns, [prompt.categories for prompt in prompts], _file_percentages)


def _file_percentages(percentages: Sequence[float], prompts: Sequence[str]) -> FilePercentages:
    maximum = expected_maximum(mean_by_prompt(percentages, prompts), size=SIZE)
    return FilePercentages(share=sum(percentages) / len(percentages) / 100, maximum=maximum)
