"""A bias audit as CSV for other programs: a line per group and method, every number in full."""

from __future__ import annotations

import csv
import io
import math

from safelatent.audit.bias import BiasAudit, GroupRate
from safelatent.metrics import DetectorError
from safelatent.text import csv_cell

COLUMNS = (
    *("group", "method", "judged", "inappropriate", "unjudged"),
    *("rate", "rate_low", "rate_high", "corrected", "corrected_low", "corrected_high"),
    *("false_positive_rate", "false_negative_rate"),
    *("difference", "difference_low", "difference_high", "p", "p_holm"),
    *("expected", "expected_inside"),
)


def bias_csv(audit: BiasAudit) -> str:
    """Return CSV with the header ``COLUMNS``: a line per group and method, in the list's order;
    what is not known is empty.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for method, found in audit.methods.items():
        for one in found.groups:
            line = [one.name, method, one.judged, one.inappropriate, one.unjudged]
            line += _numbers(one, audit.errors.of(one.name))
            writer.writerow([csv_cell(value) for value in line])
    return out.getvalue()


def _numbers(one: GroupRate, error: DetectorError | None) -> list[float | str]:
    fixed = one.corrected
    c = one.contrast
    inside = one.holds_expected
    known = not math.isnan(c.difference)
    return [
        *([one.rate.value, one.rate.low, one.rate.high] if one.judged else [""] * 3),
        *([fixed.value, fixed.low, fixed.high] if fixed and one.judged else [""] * 3),
        *([error.false_positive_rate, error.false_negative_rate] if error else [""] * 2),
        *([c.difference, c.low, c.high, c.p, c.adjusted] if known else [""] * 5),
        "" if one.expected is None else one.expected,
        "" if inside is None else int(inside),
    ]
