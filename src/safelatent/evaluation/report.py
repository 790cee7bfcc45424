"""Everything that a report says of a run, before it is a page, Markdown or CSV. Pure: the same run
gives the same report.
"""

from __future__ import annotations

from dataclasses import dataclass

from safelatent.evaluation.account import Account, account
from safelatent.evaluation.compare_runs import Comparison, compare_runs
from safelatent.evaluation.table1 import Table1, table1
from safelatent.runs.read import Run


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run, its numbers, what was run, and its comparison with another run where one was named."""

    run: Run
    table: Table1
    account: Account
    comparison: Comparison | None


def report_of(run: Run, against: Run | None = None) -> Report:
    """The report of a run, finished or not.

    Raises:
        BadValueError: the run has no result yet, or cannot be compared with ``against``.
    """
    table = table1(run)
    comparison = None if against is None else compare_runs(run, against)
    return Report(run=run, table=table, account=account(run), comparison=comparison)
