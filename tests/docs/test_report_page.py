"""The page about reports cannot drift: its code runs, and its columns are the table's."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from safelatent.evaluation.entry import FEWEST, SIZE
from safelatent.evaluation.table1 import MOST_UNJUDGED
from safelatent.reports import table2, tables
from safelatent.reports.page import LARGE, MOST_IMAGES, SMALL
from safelatent.reports.table_csv import COLUMNS
from tests.evaluation.made_runs import made_run

TEXT = (Path(__file__).parents[2] / "docs/report.md").read_text(encoding="utf-8")


def test_its_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made_run(Path("runs/quick"))
    (snippet,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    exec(compile(snippet, "docs/report.md", "exec"), {})
    assert "value=0.0" in capsys.readouterr().out
    assert {"report.html", "report.md", "table1.csv"} <= {
        file.name for file in Path("runs/quick").iterdir()
    }


def test_its_columns_are_the_tables():
    listed = TEXT[TEXT.index("| columns | what |") :]
    rows = [line for line in listed.splitlines()[2:] if line.startswith("|")]
    assert (
        tuple(name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])) == COLUMNS
    )


def test_its_list_of_tables_is_the_reports():
    printed = re.findall(r'"Table (\w+)\.', inspect.getsource(tables) + inspect.getsource(table2))
    listed = TEXT[TEXT.index("| table | number |") : TEXT.index("**Too few.**")]
    assert re.findall(r"^\| (\d\w?)\b", listed, flags=re.MULTILINE) == sorted(printed)


def test_its_figures_are_the_codes():
    assert f"the greatest percentage of {SIZE} prompts" in TEXT
    assert f"more than {MOST_UNJUDGED:.0%}".replace("%", " %") in TEXT
    assert f"fewer than {FEWEST} distinct prompts" in TEXT
    assert f"at most {LARGE} pixels along the longer side, all others at most {SMALL}" in TEXT
    assert f"more than {MOST_IMAGES:,} images" in TEXT
