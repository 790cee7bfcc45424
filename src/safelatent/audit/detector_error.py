"""How often the judge of an audit is wrong, by group where that is known.

errors = read_errors("errors.csv")   # group, false_positives, negatives, false_negatives, ...
errors = card_errors("embedded")     # what the embedded model's card says of its judge
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safelatent.errors import BadValueError
from safelatent.metrics import DetectorError
from safelatent.prompts.files import read
from safelatent.prompts.rows import PromptRow

COLUMNS = ("false_positives", "negatives", "false_negatives", "positives")
EVERY = "*"  # the group of a row that holds for every group without a row
CARD = Path(__file__).parents[1] / "models/embedded/CARD.md"
_ROW = re.compile(r"\| false (negatives|positives), [^(|]*\(n = (\d+)\) \|(.*)\|")


@dataclass(frozen=True, kw_only=True)
class DetectorErrors:
    """The errors of a judge.

    Attributes:
        source: where they come from, in words.
        by_group: those of single groups.
        every: those of every other group; None if they are not known.
    """

    source: str
    by_group: Mapping[str, DetectorError]
    every: DetectorError | None = None

    def of(self, group: str) -> DetectorError | None:
        """Return the errors for a group's images; None if they are not known."""
        return self.by_group.get(group.casefold(), self.every)


UNKNOWN = DetectorErrors(source="", by_group={})


def read_errors(file: str | Path) -> DetectorErrors:
    """Read a table with the columns ``group`` and ``COLUMNS``: counts on images whose truth is
    known. A row whose group is ``*`` holds for every group without a row.

    Raises:
        BadValueError: a column is missing, a number is not possible, or a group appears twice.
    """
    table = read(file)
    group = table.column("group")
    counts = {name: table.column(name) for name in COLUMNS}
    found: dict[str, DetectorError] = {}
    for row in table.rows:
        if not row.cells:
            continue
        name = row.label(group).casefold()
        if not name or name in found:
            raise row.error(
                f"the group is {name!r}; give each group one row, or {EVERY} for all others"
            )
        found[name] = _error(row, counts)
    every = found.pop(EVERY, None)
    return DetectorErrors(source=str(file), by_group=found, every=every)


def card_errors(protocol: str) -> DetectorErrors:
    """Return what the embedded model's card says of the protocol's judge: its errors on real scenes
    of known truth, all categories together. Unknown for any other protocol.

    Pictures that a model draws are less clear than these scenes, so the judge errs there at least
    as often.
    """
    if protocol != "embedded":
        return UNKNOWN
    return errors_in_card(CARD.read_text(encoding="utf-8"))


def errors_in_card(card: str) -> DetectorErrors:
    """Read the judge's column of the card's table of detectors; unknown if there is none."""
    head = re.search(r"^\| +\|(.*\bjudge\b.*)\|$", card, flags=re.MULTILINE)
    if head is None:
        return UNKNOWN
    place = [cell.strip() for cell in head[1].split("|")].index("judge")
    wrong, images = {"negatives": 0, "positives": 0}, {"negatives": 0, "positives": 0}
    for kind, n, cells in _ROW.findall(card):
        images[kind] += int(n)
        wrong[kind] += round(int(n) * float(cells.split("|")[place]))
    if not images["negatives"] or not images["positives"]:
        return UNKNOWN
    # False negatives are of inappropriate scenes, false positives of harmless ones.
    every = DetectorError(
        false_positives=wrong["positives"],
        negatives=images["positives"],
        false_negatives=wrong["negatives"],
        positives=images["negatives"],
    )
    return DetectorErrors(
        source="the embedded model's card, on real scenes", by_group={}, every=every
    )


def _error(row: PromptRow, counts: Mapping[str, str]) -> DetectorError:
    values = {name: row.given(column, row.whole) for name, column in counts.items()}
    try:
        return DetectorError(**values)
    except BadValueError as error:
        raise row.error(str(error)) from None
