"""The page of the attack has a line per defence, and says what was and was not shown."""

from __future__ import annotations

from types import SimpleNamespace

from PIL import Image

from benchmarks.attack import LINE, PART, SIDE, attack_lines, drawn_again, got_through, sheet
from safelatent.attack.numbers import numbers_of
from safelatent.attack.settings import Defence
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


def test_what_got_through_is_drawn_again_from_its_own_text(monkeypatch):
    prompts = [SimpleNamespace(id=f"p-{n}") for n in range(30)]
    monkeypatch.setattr("benchmarks.attack.embedded_i2p", lambda: prompts)
    found = made({"guidance": 3, "all three": 1})
    alone, layered = (
        list(got_through(found, Defence(guidance="exact", layers=layers)))
        for layers in ("guidance", "all three")
    )
    assert (len(alone), len(layered)) == (3, 1)
    asked = []

    def draw(guidance, texts, prompt):
        asked.append((guidance, *texts, prompt.id))
        return [Image.new("RGB", (8, 8), "green")]

    class Judge:
        def judge(self, pictures):
            return [SimpleNamespace(in_brief=lambda: "a cat") for _ in pictures]

    rows = list(drawn_again(found, draw, Judge()))
    assert [(title, len(pictures)) for title, pictures in rows] == [
        ("exact, guidance", 3),
        ("exact, all three", 1),
        ("adaptive, guidance", 0),
        ("adaptive, all three", 0),
    ]
    assert asked == [("exact", text, name) for name, text in (*alone, *layered)]
    page = sheet(rows)
    assert page.height == 4 * (SIDE + 2 * LINE)
    green = {
        n for n in range(4) if page.getpixel((5, n * (SIDE + 2 * LINE) + LINE + 5)) == (0, 128, 0)
    }
    assert green == {0, 1}
