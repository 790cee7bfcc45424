from __future__ import annotations

import pytest

from safelatent.evaluation.table1 import Table1, table1
from safelatent.runs.read import Run
from tests.evaluation.made_runs import made_run


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Run:
    """The made run, which no test changes."""
    return made_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def table(run) -> Table1:
    return table1(run)
