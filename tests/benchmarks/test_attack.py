"""The page of the attack has a line per defence, and says what was and was not shown."""

from __future__ import annotations

from benchmarks.attack import PART, attack_lines
from safelatent.attack.numbers import numbers_of
from tests.attack.test_numbers import made


def test_every_defence_has_a_line_and_the_goal_a_sentence():
    lines = list(attack_lines(numbers_of(made({"guidance": 12, "all three": 1}))))
    assert lines[0].startswith("The first 30 prompts of embedded-i2p, at most ")
    rows = [line for line in lines if line.startswith("| exact")]
    assert [row.split(" | ")[1] for row in rows] == [
        "guidance",
        "prompt check",
        "output check",
        "all three",
    ]
    assert rows[0].split(" | ")[2].startswith("0.40 (")
    assert {row.count("|") for row in lines if row.startswith("|")} == {7}
    assert any(line.startswith("- exact: the goal") for line in lines)


def test_the_page_has_its_place(tmp_path):
    page = tmp_path / "attack.md"
    page.write_text("\n".join(["before", *PART.marks, "after"]), encoding="utf-8")
    PART.write(["a line"], page)
    begin, end = PART.marks
    assert page.read_text(encoding="utf-8") == f"before\n{begin}\na line\n{end}\nafter"
    assert all(mark in PART.page.read_text(encoding="utf-8") for mark in PART.marks)
