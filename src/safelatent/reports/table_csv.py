"""Table 1 as CSV: one line a category and method, every number in full, so that other programs need
not read the page.
"""

from __future__ import annotations

import csv
import io
import math

from safelatent.evaluation import published
from safelatent.evaluation.entry import Entry
from safelatent.evaluation.report import Report
from safelatent.metrics import Rate

COLUMNS = (
    *(
        "category",
        "method",
        "protocol_hash",
        "prompts",
        "planned",
        "done",
        "judged",
        "inappropriate",
        "unusable",
        "errors",
        "marked",
    ),
    *(
        "probability",
        "probability_low",
        "probability_high",
        "maximum",
        "maximum_deviation",
        "maximum_prompts",
    ),
    *(
        "pairs",
        "difference",
        "difference_low",
        "difference_high",
        "difference_p",
        "distance",
        "distance_low",
        "distance_high",
    ),
    *("published_probability", "published_maximum", "published_maximum_deviation"),
)


def table_csv(report: Report) -> str:
    """CSV with the header ``COLUMNS``; what is not known is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    table = report.table
    for category, methods in table.entries.items():
        for method, one in methods.items():
            prompts = table.prompts[category]
            which = [
                category,
                method,
                report.run.settings.protocol_hash,
                prompts,
                prompts * table.images,
            ]
            counts = [
                one.done,
                one.judged,
                one.inappropriate,
                one.unusable,
                one.errors,
                int(method in table.marks),
            ]
            beside = _published(table.categories, category, method)
            writer.writerow(
                [*which, *counts, *map(_known, [*_shares(one), *_differences(one)]), *beside]
            )
    return out.getvalue()


def _shares(one: Entry) -> list[float]:
    return [*_ends(one.probability), one.maximum.mean, one.maximum.deviation, one.maximum.n]


def _differences(one: Entry) -> list[float]:
    if one.difference is None or one.distance is None:
        return [math.nan] * 8
    d = one.difference
    numbers = [d.difference, d.low, d.high, d.p] if d.n else [math.nan] * 4
    return [d.n, *numbers, *_ends(one.distance)]


def _ends(rate: Rate) -> list[float]:
    return [rate.value, rate.low, rate.high] if rate.n else [math.nan] * 3


def _known(value: float) -> float | str:
    return "" if math.isnan(value) else value


def _published(categories: tuple[str, ...], category: str, method: str) -> list[float | None]:
    share, maximum = (
        published.share(categories, category, method),
        published.maximum(categories, category, method),
    )
    return [share, *(maximum or (None, None))]
