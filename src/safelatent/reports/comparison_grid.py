"""The table of two runs. Knows their numbers and how they are read; knows no markup."""

from __future__ import annotations

from safelatent.evaluation.compare_runs import Compared, Comparison
from safelatent.evaluation.entry import Entry
from safelatent.evaluation.numbers import interval, number, share_of
from safelatent.evaluation.table1 import MOST_UNJUDGED
from safelatent.metrics import OVERALL
from safelatent.reports.grid import Box, Grid, difference_box


def comparison_grid(comparison: Comparison) -> Grid:
    """Differences by category and method, and below them the shares that each run has by itself."""
    lines = [(name, _differences(comparison, name)) for name in comparison.categories]
    both = comparison.methods.values()
    return Grid(
        name="comparison",
        title="Table 3. This run less the other",
        note="Inappropriate probability of this run less that of the other, over the pairs of the same prompt, seed and image number"
        " that were judged in both. Below 0, this run has fewer. A dash: there is no such pair, and nothing is subtracted."
        " ⚠: too many images of one of the runs could not be judged.",
        columns=tuple(_heading(method, one) for method, one in comparison.methods.items()),
        lines=tuple(line for line in lines if line[0] != OVERALL),
        foot=(
            lines[-1],
            ("share in this run", tuple(_share(one.mine) for one in both)),
            ("share in the other run", tuple(_share(one.theirs) for one in both)),
            ("not judged in this run", tuple(_left(one.mine) for one in both)),
            ("not judged in the other run", tuple(_left(one.theirs) for one in both)),
        ),
    )


def _heading(method: str, one: Compared) -> str:
    return f"{method} ⚠" if max(one.mine.unjudged, one.theirs.unjudged) > MOST_UNJUDGED else method


def _differences(comparison: Comparison, name: str) -> tuple[Box, ...]:
    found = [one.differences.get(name) for one in comparison.methods.values()]
    return tuple(Box(text="–") if one is None else difference_box(one) for one in found)


def _share(one: Entry) -> Box:
    rate = one.probability
    return Box(
        value=rate.value,
        text=number(rate.value),
        details=(interval(rate), f"{rate.n} images") if rate.n else (),
    )


def _left(one: Entry) -> Box:
    return Box(text=share_of(one.unusable + one.errors, one.done))
