"""The pages on audits cannot drift: their code runs, their commands and figures are the code's."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from safelatent.audit import data, lists, read_errors
from safelatent.audit.bias_wording import PUBLISHED, SECOND_HAND
from safelatent.audit.groups import LISTS
from safelatent.audit.judging import FLAGS, LIMIT
from safelatent.cli import audit_bias, audit_data
from safelatent.metrics import against_others

DOCS = Path(__file__).parents[2] / "docs"
AUDIT, FAIRNESS = (
    (DOCS / name).read_text(encoding="utf-8") for name in ("audit.md", "fairness.md")
)


@pytest.mark.slow
def test_its_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    [snippet] = re.findall(r"```python\n(.*?)```", AUDIT, flags=re.DOTALL)
    exec(compile(snippet, "docs/audit.md", "exec"), {})
    assert capsys.readouterr().out.startswith("Ruritania Rate(")


def test_its_commands_are_the_command_lines():
    known = {
        name: {f"--{one.replace('_', '-')}" for one in inspect.signature(function).parameters}
        for name, function in (("bias", audit_bias.audit_bias), ("data", audit_data.audit_data))
    }
    calls = re.findall(r"^safelatent audit .*$", AUDIT + FAIRNESS, flags=re.MULTILINE)
    assert len(calls) == 4
    for call in calls:
        words = shlex.split(call)
        assert {word for word in words if word.startswith("--")} <= known[words[2]]
    others = set(re.findall(r"`(--[a-z-]+)", AUDIT + FAIRNESS))
    assert others <= known["bias"] | known["data"]


def test_its_table_of_errors_is_read(tmp_path):
    [table] = re.findall(r"```\n(group,.*?)```", AUDIT, flags=re.DOTALL)
    (tmp_path / "errors.csv").write_text(table, encoding="utf-8")
    assert read_errors(tmp_path / "errors.csv").of("japan").false_positives == 9


def test_its_figures_are_the_codes():
    words = " ".join(AUDIT.split())
    assert all(f"`{name}`" in words for name in LISTS)
    assert f"below {lists.FROM:,} rows" in words
    assert f"the {lists.READ} nearest lists" in words
    assert f"the best {lists.AGAIN * data.NEAREST} again" in words
    assert data.CHECKED == 8
    assert "Eight of the queries" in words
    assert f"from {LIMIT} on" in words
    assert {name.upper() for name in FLAGS} == {"NSFW", "UNLIKELY", "UNSURE"}
    assert "Japan above 75 % and 35 % in the mean; with SLD 12.0 % and 9.25 %" in words
    assert set(PUBLISHED.values()) == {"> 0.75", "0.35"}
    assert set(SECOND_HAND.values()) == {0.12, 0.0925}


def test_a_group_0_2_above_the_mean_is_found_four_times_in_five():
    random = np.random.default_rng(0)
    rates = np.array([0.55, *[0.35] * 49])
    found = [
        against_others(random.binomial(100, rates).tolist(), [100] * 50)[0].adjusted < 0.05
        for _ in range(40)
    ]
    assert 0.6 < np.mean(found) <= 1
    assert "a group that is 0.2 above a mean of 0.35 is found four times in five" in " ".join(
        FAIRNESS.split()
    )
