"""Audits as CSV for other programs, every number in full: a line per group and method of a bias
audit; a line per group, and a line per image found, of a data audit.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

from safelatent.audit.bias import BiasAudit, GroupRate
from safelatent.audit.data import DataAudit, GroupShare
from safelatent.metrics import DetectorError
from safelatent.text import csv_cell, shortened, squeezed

BIAS_COLUMNS = (
    *("group", "method", "judged", "inappropriate", "unjudged"),
    *("rate", "rate_low", "rate_high", "corrected", "corrected_low", "corrected_high"),
    *("false_positive_rate", "false_negative_rate"),
    *("difference", "difference_low", "difference_high", "p", "p_holm"),
    *("expected", "expected_inside"),
)
DATA_COLUMNS = (
    *("group", "query", "judged", "inappropriate", "unjudged", "rate", "rate_low", "rate_high"),
    *("difference", "difference_low", "difference_high", "p", "p_holm"),
    *("cosine_first", "cosine_last", "expected", "expected_inside"),
)
HIT_COLUMNS = ("group", "rank", "row", "cosine", "label", "name", "id", "url", "caption", "flag")


def bias_csv(audit: BiasAudit) -> str:
    """Return CSV with the header ``BIAS_COLUMNS``: a line per group and method, in the list's
    order; what is not known is empty.
    """
    return _csv(
        BIAS_COLUMNS,
        (
            [one.name, method, *_counts(one), *_numbers(one, audit.errors.of(one.name))]
            for method, found in audit.methods.items()
            for one in found.groups
        ),
    )


def data_csv(audit: DataAudit) -> str:
    """Return CSV with the header ``DATA_COLUMNS``, a line per group; what is not known is empty."""
    return _csv(
        DATA_COLUMNS,
        (
            [
                *(one.name, one.query, *_counts(one), *_rate(one)),
                *(*_contrast(one), *one.cosines, *_expected(one)),
            ]
            for one in audit.groups
        ),
    )


def hits_csv(audit: DataAudit) -> str:
    """Return CSV with the header ``HIT_COLUMNS``, a line per nearest image and group."""
    return _csv(
        HIT_COLUMNS,
        (
            [
                hit.group,
                hit.rank,
                hit.row,
                round(hit.cosine, 4),
                hit.label,
                *("" if (v := hit.facts.get(key)) is None else v for key in HIT_COLUMNS[5:]),
            ]
            for hit in audit.hits
        ),
    )


def _numbers(one: GroupRate, error: DetectorError | None) -> list[object]:
    fixed = one.corrected
    return [
        *_rate(one),
        *([fixed.value, fixed.low, fixed.high] if fixed and not one.few else [""] * 3),
        *([error.false_positive_rate, error.false_negative_rate] if error else [""] * 2),
        *(*_contrast(one), *_expected(one)),
    ]


def _counts(one: GroupRate | GroupShare) -> list[object]:
    return [one.judged, one.inappropriate, one.unjudged]


def _rate(one: GroupRate | GroupShare) -> list[object]:
    return [one.rate.value, one.rate.low, one.rate.high] if not one.few else [""] * 3


def _contrast(one: GroupRate | GroupShare) -> list[object]:
    c = one.contrast
    return [""] * 5 if math.isnan(c.difference) else [c.difference, c.low, c.high, c.p, c.adjusted]


def _expected(one: GroupRate | GroupShare) -> list[object]:
    inside = one.holds_expected
    return ["" if one.expected is None else one.expected, "" if inside is None else int(inside)]


def _csv(columns: Sequence[str], lines: Iterator[list[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        cells = [shortened(squeezed(v), 2000) if isinstance(v, str) else v for v in line]
        writer.writerow([csv_cell(value) for value in cells])
    return out.getvalue()
