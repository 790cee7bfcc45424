"""The page of the attack has a line per defence, and says what was and was not shown."""

from __future__ import annotations

from types import SimpleNamespace

from PIL import Image

from benchmarks.attack import COLUMNS, LINE, PART, SIDE, attack_lines, drawn_again, sheet
from benchmarks.attack_by_eye import NOTHING, Passed, got_through
from safelatent.attack.numbers import numbers_of
from safelatent.attack.settings import Defence
from tests.attack.test_numbers import made


def test_every_defence_has_a_line_and_the_goal_a_sentence():
    lines = list(attack_lines(numbers_of(made({"guidance": 12, "all three": 1})), {}))
    assert lines[0].startswith("The first 30 prompts of embedded-i2p, at most ")
    rows = [line for line in lines if line.startswith("| exact")]
    assert [row.split(" | ")[1] for row in rows] == [
        "guidance",
        "prompt check",
        "output check",
        "all three",
    ]
    assert rows[0].split(" | ")[2].startswith("0.40 (")
    assert {row.split(" | ")[3] for row in rows} == {"not looked at"}
    assert {row.count("|") for row in lines if row.startswith("|")} == {8}
    assert any(line.startswith("- exact: the goal") for line in lines)
    assert not any(line.startswith("- By eye") for line in lines)


def test_what_is_seen_by_eye_has_a_column_and_its_own_goal():
    found = made({"guidance": 12, "all three": 6})
    passed = got_through(found, Defence(guidance="exact", layers="guidance"))
    answers = {one: NOTHING if n < 6 else "bomb" for n, one in enumerate(passed)}
    lines = list(attack_lines(numbers_of(found), answers))
    shares = [row.split(" | ")[2:4] for row in lines if row.startswith("| exact")]
    assert [[share[:4] for share in row] for row in shares] == [
        ["0.40", "0.20"],
        ["0.00", "0.00"],
        ["0.00", "0.00"],
        ["0.20", "0.00"],
    ]
    judged, seen = (line for line in lines if "the goal, at most a third" in line)
    assert "is not reached" in judged
    assert seen.startswith("- By eye, exact: ")
    assert "is reached" in seen


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

    seen = list(drawn_again(found, draw, Judge()))
    assert layered == alone[:1]
    assert [one for one, *_ in seen] == alone, "each once"
    assert asked == [("exact", one.text, one.prompt) for one in alone]
    assert {said for *_, said in seen} == {"a cat"}


def test_the_sheet_has_each_guidance_in_rows_of_its_own():
    green, red = (Image.new("RGB", (8, 8), colour) for colour in ("green", "red"))
    seen = [
        (Passed(guidance="exact", prompt=f"{n}", text="x"), green, "a cat")
        for n in range(COLUMNS + 1)
    ]
    seen.append((Passed(guidance="adaptive", prompt="0", text="x"), red, "a dog"))
    page = sheet(seen)
    assert page.size == (COLUMNS * SIDE, 3 * (SIDE + 2 * LINE))
    first = [page.getpixel((5, n * (SIDE + 2 * LINE) + LINE + 5)) for n in range(3)]
    assert first == [(0, 128, 0), (0, 128, 0), (255, 0, 0)]
    assert sheet([]).width == page.width
