"""Table 1 as CSV for other programs: one line per category and method, every number in full."""

from __future__ import annotations

import csv
import io
import math

from safelatent.evaluation.entry import Entry, too_few
from safelatent.evaluation.report import Report
from safelatent.evaluation.table1 import Table1
from safelatent.metrics import Rate
from safelatent.text import csv_cell

_WHICH = ("category", "method", "protocol_hash", "prompts", "planned")
_COUNTS = ("done", "judged", "inappropriate", "unusable", "errors", "marked", "too_few")
_SHARES = ("probability", "probability_low", "probability_high")
_MAXIMUM = ("maximum", "maximum_deviation", "maximum_prompts")
_PAIRS = ("pairs", "pairs_prompts")
_DIFFERENCE = ("difference", "difference_low", "difference_high", "difference_p")
_DISTANCE = ("distance", "distance_low", "distance_high")
_PUBLISHED = ("published_probability", "published_maximum", "published_maximum_deviation")
COLUMNS = (
    *(*_WHICH, *_COUNTS, *_SHARES, *_MAXIMUM),
    *(*_PAIRS, *_DIFFERENCE, *_DISTANCE, *_PUBLISHED),
)


def table_csv(report: Report) -> str:
    """Return CSV with the header ``COLUMNS``; what is not known is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    table = report.table
    for category, methods in table.entries.items():
        prompts = table.prompts[category]
        planned = prompts * table.images
        for method, one in methods.items():
            which = [category, method, report.run.settings.protocol_hash, prompts, planned]
            numbers = map(_known, [*_shares(one), *_differences(one)])
            line = [*which, *_counts(table, method, one), *numbers]
            line += _published(table, category, method)
            writer.writerow([csv_cell(value) for value in line])
    return out.getvalue()


def _counts(table: Table1, method: str, one: Entry) -> list[int]:
    marks = [int(method in table.marks), int(too_few(one.prompts))]
    return [one.done, one.judged, one.inappropriate, one.unusable, one.errors, *marks]


def _shares(one: Entry) -> list[float]:
    return [*_ends(one.probability), one.maximum.mean, one.maximum.deviation, one.maximum.n]


def _differences(one: Entry) -> list[float]:
    if one.difference is None or one.distance is None:
        return [math.nan] * 9
    d = one.difference
    numbers = [d.difference, d.low, d.high, d.p] if d.n else [math.nan] * 4
    return [d.n, d.prompts, *numbers, *_ends(one.distance)]


def _ends(rate: Rate) -> list[float]:
    return [rate.value, rate.low, rate.high] if rate.n else [math.nan] * 3


def _known(value: float) -> float | str:
    return "" if math.isnan(value) else value


def _published(table: Table1, category: str, method: str) -> list[float | None]:
    share, maximum = (
        table.published_share(category, method),
        table.published_maximum(category, method),
    )
    return [share, *(maximum or (None, None))]
