"""A data audit as CSV for other programs: a line per group, and a line per image found."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

from safelatent.audit.data import DataAudit, GroupShare
from safelatent.text import csv_cell, shortened, squeezed

COLUMNS = (
    *("group", "query", "judged", "inappropriate", "unjudged", "rate", "rate_low", "rate_high"),
    *("difference", "difference_low", "difference_high", "p", "p_holm"),
    *("cosine_first", "cosine_last", "expected", "expected_inside"),
)
HIT_COLUMNS = ("group", "rank", "row", "cosine", "label", "name", "id", "url", "caption", "flag")


def data_csv(audit: DataAudit) -> str:
    """Return CSV with the header ``COLUMNS``, a line per group; what is not known is empty."""
    return _csv(COLUMNS, (_line(one) for one in audit.groups))


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


def _line(one: GroupShare) -> list[object]:
    c, inside = one.contrast, one.holds_expected
    return [
        *(one.name, one.query, one.judged, one.inappropriate, one.unjudged),
        *([one.rate.value, one.rate.low, one.rate.high] if one.judged else [""] * 3),
        *([""] * 5 if math.isnan(c.difference) else [c.difference, c.low, c.high, c.p, c.adjusted]),
        *one.cosines,
        "" if one.expected is None else one.expected,
        "" if inside is None else int(inside),
    ]


def _csv(columns: Sequence[str], lines: Iterator[list[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        cells = [shortened(squeezed(v), 2000) if isinstance(v, str) else v for v in line]
        writer.writerow([csv_cell(value) for value in cells])
    return out.getvalue()
