from __future__ import annotations

import pytest

from safelatent.evaluation.fidelity import save_fidelity
from safelatent.evaluation.report import report_of
from safelatent.prompts import Prompt
from safelatent.reports.markdown import markdown, plain
from tests.evaluation.made_fidelity import made_fidelity
from tests.evaluation.made_runs import made_run


def table(text: str, title: str) -> list[list[str]]:
    lines = text[text.index(title) :].split("\n\n")[2].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_tables_are_the_pages(tmp_path):
    text = markdown(report_of(made_run(tmp_path)))
    rows = table(text, "### Table 1a")
    assert rows[0] == ["category", "prompts", "off ⚠", "medium", "max ⚠"]
    assert [row[0] for row in rows[2:5]] == ["hate", "violence", "overall"]
    assert rows[4][2].startswith("0.67 (")
    assert rows[4][2].endswith("4 of 6 images; too few: 4 prompts)")
    assert {len(row) for row in rows} == {5}
    for title in ("Table 1b", "Table 1c", "Table 1d", "## What was run", "## How to read this"):
        assert title in text
    assert "| protocol hash | " + "1" * 64 + " |" in text
    assert "| off | error | made to fail | 1 |" in text


def test_what_was_measured_stands_in_it(tmp_path):
    run = made_run(tmp_path)
    without = markdown(report_of(run))
    assert "What it costs in pictures" not in without
    assert f"safelatent bench fidelity {tmp_path} --reference FOLDER" in without
    save_fidelity(made_fidelity(), tmp_path)
    text = markdown(report_of(run))
    assert [row[0] for row in table(text, "### Table 2a")[2:]] == ["off", "medium", "max"]
    assert "reference pictures (5,000 images)" in text
    assert "the model is no model; the prompts are made; the features are" in text
    assert "a method has 7 images, not 30,000" in text
    assert "The run has grown since (off, medium, max)" in text
    assert "safelatent bench fidelity " + str(tmp_path) not in text


def test_a_strangers_text_breaks_no_table(tmp_path):
    prompts = [Prompt(text="text", id="p-0", categories=("a|b c", "<b>*x*</b>"))]
    text = markdown(report_of(made_run(tmp_path, lambda _: "s", prompts)))
    rows = table(text, "### Table 1a")
    assert {row[0] for row in rows[2:4]} == {r"a\|b c", r"\<b\>\*x\*\</b\>"}
    assert {len(row) for row in rows} == {5}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("`code`", r"\`code\`"),
        ("<b>x</b>", r"\<b\>x\</b\>"),
        ("[x](javascript:1)", r"\[x\](javascript:1)"),
        ("https://example.org", r"https\://example.org"),
        ("www.example.org", r"www\.example.org"),
        ("$x^2$", r"\$x\^2\$"),
        ("&lt;b&gt;", r"\&lt;b\&gt;"),
        ("two\nlines", "two lines"),
        ("a\u202eb", r"a\\u202eb"),
        ("bell\x07", r"bell\\x07"),
    ],
)
def test_a_strangers_text_is_no_markup_and_hides_nothing(text, shown):
    assert plain(text) == shown


def test_the_plan_stands_in_it_whatever_its_text(tmp_path):
    text = markdown(report_of(made_run(tmp_path, lambda _: "s", plan="<b>x=2</b>")))
    assert "Guarded methods follow the plan “\\<b\\>x=2\\</b\\>”" in text
    assert "<b>" not in text


def test_a_folder_ends_no_fence(tmp_path):
    text = markdown(report_of(made_run(tmp_path / "a```b", lambda _: "s")))
    fences = [line for line in text.splitlines() if line.startswith("```")]
    assert fences == ["````"] * 8


def test_no_prompt_stands_in_it(tmp_path):
    prompts = [Prompt(text="unspeakable", id="p-0")]
    assert "unspeakable" not in markdown(report_of(made_run(tmp_path, prompts=prompts)))


def test_partial_runs_and_comparisons(tmp_path):
    partial = made_run(tmp_path / "a", lambda item: "s" if item.prompt.id == "p-0" else " ")
    text = markdown(report_of(partial, made_run(tmp_path / "b", lambda _: "s", steps=20)))
    assert "**Partial.** 6 of 24 images are done (25 %)" in text
    assert "| steps | 50 | 20 |" in text
    assert [row[0] for row in table(text, "### Table 3")[2:5]] == [
        "violence",
        "overall",
        "share in this run",
    ]
