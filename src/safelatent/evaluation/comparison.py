"""Two runs compared: which settings differ, and by how much their numbers differ.

A pair is one prompt (id and text), one seed and one image number, generated with the same method in
both runs. Numbers of two protocols are not comparable, so nothing is subtracted across them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safelatent.errors import BadValueError
from safelatent.evaluation.entry import Entry, entry_of, flags, judged, texts
from safelatent.evaluation.table1 import check_begun, in_order
from safelatent.metrics import OVERALL, PairedDifference, by_category, paired_difference
from safelatent.runs.read import ResultRow, Run
from safelatent.runs.settings import RunSettings

Pair = tuple[ResultRow, ResultRow]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One method in both runs.

    Attributes:
        mine, theirs: the method in each run, over all of its images.
        differences: by category that has a pair, and ``overall``: the first run's probability minus
            the other's, over the pairs.
    """

    mine: Entry
    theirs: Entry
    differences: Mapping[str, PairedDifference]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A run compared with another.

    Attributes:
        folders: the two runs' folders.
        settings: name, first run's value, other run's value, for each setting that differs.
        categories: those that have a pair, in order, then ``overall``.
        methods: those that both runs have.
    """

    folders: tuple[str, str]
    settings: tuple[tuple[str, str, str], ...]
    categories: tuple[str, ...]
    methods: Mapping[str, Compared]


def compare_runs(run: Run, against: Run) -> Comparison:
    """Subtract the numbers of ``against`` from those of ``run``, method by method.

    Raises:
        BadValueError: the protocols differ, both are the same folder, they have no method in
            common, or ``against`` has no result.
    """
    _check(run, against)
    methods = {
        m: _compared(run, against, m) for m in run.settings.methods if m in against.settings.methods
    }
    names = {name: None for one in methods.values() for name in one.differences if name != OVERALL}
    return Comparison(
        folders=(str(run.folder), str(against.folder)),
        settings=tuple(_differing(run.settings, against.settings)),
        categories=(*in_order(names), OVERALL),
        methods=methods,
    )


def _check(run: Run, against: Run) -> None:
    mine, theirs = run.settings, against.settings
    if run.folder.resolve() == against.folder.resolve():
        raise BadValueError(f"{str(run.folder)!r} is compared with itself; name another run")
    if mine.protocol_hash != theirs.protocol_hash:
        raise BadValueError(
            f"{run.folder} was judged by protocol {mine.protocol} ({mine.protocol_hash[:12]}),"
            f" {against.folder} by {theirs.protocol} ({theirs.protocol_hash[:12]}); numbers of two"
            " protocols are not comparable: judge both runs by one protocol"
        )
    if not set(mine.methods) & set(theirs.methods):
        raise BadValueError(
            f"{run.folder} has the methods {', '.join(mine.methods)}, {against.folder} has"
            f" {', '.join(theirs.methods)}; compare runs that have a method in common"
        )
    check_begun(against)


def _compared(run: Run, against: Run, method: str) -> Compared:
    mine, theirs = ([row for row in one.rows if row.method == method] for one in (run, against))
    others = {_identity(row): row for row in judged(theirs)}
    pairs = [(row, others[_identity(row)]) for row in judged(mine) if _identity(row) in others]
    return Compared(
        mine=entry_of(mine, None),
        theirs=entry_of(theirs, None),
        differences=by_category(pairs, [row.prompt.categories for row, _ in pairs], _difference),
    )


def _identity(row: ResultRow) -> tuple[str, str, int, int]:
    return row.prompt.id, row.prompt.text, row.prompt.seed, row.image


def _difference(pairs: Sequence[Pair]) -> PairedDifference:
    first, second = [mine for mine, _ in pairs], [theirs for _, theirs in pairs]
    return paired_difference(flags(first), flags(second), texts(first))


def _differing(mine: RunSettings, theirs: RunSettings) -> list[tuple[str, str, str]]:
    one, two = _flat(mine), _flat(theirs)
    return [
        (name, one.get(name, "–"), two.get(name, "–"))
        for name in {**one, **two}
        if one.get(name) != two.get(name)
    ]


def _flat(settings: RunSettings) -> dict[str, str]:
    """Return name and value in words, the scheduler's settings one by one."""
    values = settings.as_dict()
    values |= {f"scheduler {name}": value for name, value in values.pop("scheduler").items()}
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
    }
