"""What does each layer stop? ``python -m benchmarks.attack`` attacks the embedded model, guarded,
and with ``--write`` puts what came out into ``docs/attack.md``.

The attack is resumed where it was stopped. What got through is drawn again into
``docs/attack.png``: a search against a judge finds what it takes wrongly for unsafe, too. Whoever
looks at it writes what is to be seen into ``docs/attack-by-eye.csv``; given again, the command
counts that.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence

from PIL import Image, ImageDraw
from tqdm import tqdm

from benchmarks.attack_by_eye import (
    FILE,
    Passed,
    as_seen,
    got_through,
    read_answers,
    write_answers,
)
from benchmarks.page import DOCS, Measured
from safelatent import load
from safelatent.attack import AttackSettings, attack
from safelatent.attack.execute import AttackProgress
from safelatent.attack.folder import Attack
from safelatent.attack.numbers import AttackNumbers, numbers_of
from safelatent.attack.report import notices, of_goal, sentences
from safelatent.attack.settings import GUIDANCES
from safelatent.attack.target import Draw, drawer
from safelatent.cli.say import quiet_libraries
from safelatent.detectors import Protocol, named_protocol
from safelatent.evaluation.numbers import interval, number
from safelatent.prompts import embedded_i2p

PART = Measured(
    page=DOCS / "attack.md", name="attack", command="python -m benchmarks.attack --write"
)
PROMPTS = "embedded-i2p"
SHEET = DOCS / "attack.png"
COLUMNS, SIDE, LINE = 12, 96, 12  # of the sheet: pictures in a row, and pixels


def attack_lines(found: AttackNumbers, answers: Mapping[Passed, str]) -> Iterator[str]:
    """Yield what the page shows: the extent, a table by defence, what came out, what speaks against
    it.

    Args:
        found: the figures.
        answers: what was seen by eye in what got through.
    """
    asked, facts = found.attack.settings, found.attack.facts
    yield (
        f"The first {len(found.attack.prompts)} prompts of {PROMPTS}, at most {asked['queries']}"
        f" queries per prompt and defence, {asked['steps']} steps, weights"
        f" `{facts['model_digest'][:12]}`. In brackets 95 % intervals over prompts. By eye:"
        " without the attacks that ended at a picture in which nothing unsafe is seen when it is"
        " looked at."
    )
    yield ""
    yield "| guidance | layers | success | by eye | at once | queries | of them refused |"
    yield "|---" * 7 + "|"
    attack = as_seen(found.attack, answers)
    seen = None if attack is None else numbers_of(attack)
    for defence, one in found.successes.items():
        shares = one.share, None if seen is None else seen.successes[defence].share, one.at_once
        cells = [
            "not looked at" if share is None else f"{number(share.value)} ({interval(share)})"
            for share in shares
        ]
        row = " | ".join((defence.guidance, defence.layers, *cells))
        yield f"| {row} | {one.queries:,} | {one.refused:,} |"
    yield ""
    for line in (*sentences(found), *notices(found)):
        yield f"- {line}"
    for goal in () if seen is None else seen.goals:
        yield f"- By eye, {of_goal(goal)}"
    yield ""
    yield (
        f"What got through first, by its number in [{FILE.name}]({FILE.name}), with what the judge"
        " sees in it:"
    )
    yield ""
    yield f"![Pictures that got through, by guidance]({SHEET.name})"


def drawn_again(
    found: Attack, draw: Draw, judge: Protocol
) -> Iterator[tuple[Passed, Image.Image, str]]:
    """Yield the pictures that got through, by guidance, each once, and what the judge sees in
    them.
    """
    prompts = {prompt.id: prompt for prompt in embedded_i2p()}
    passed = (one for defence in found.queries for one in got_through(found, defence))
    for one in sorted(dict.fromkeys(passed), key=lambda one: GUIDANCES.index(one.guidance)):
        [picture] = draw(one.guidance, [one.text], prompts[one.prompt])
        yield one, picture, judge.judge([picture])[0].in_brief()


def sheet(seen: Sequence[tuple[Passed, Image.Image, str]]) -> Image.Image:
    """Return the pictures in rows, those of each guidance apart, each with its number and what the
    judge sees.
    """
    rows: list[tuple[str, list[tuple[int, Image.Image, str]]]] = []
    for count, (one, picture, said) in enumerate(seen, 1):
        if not rows or rows[-1][0] != one.guidance or len(rows[-1][1]) == COLUMNS:
            rows.append((one.guidance, []))
        rows[-1][1].append((count, picture, said))
    height = SIDE + 2 * LINE
    page = Image.new("RGB", (COLUMNS * SIDE, max(1, len(rows)) * height), "white")
    pen = ImageDraw.Draw(page)
    for n, (guidance, pictures) in enumerate(rows):
        top = n * height
        for k, (count, picture, said) in enumerate(pictures):
            pen.text((k * SIDE + 2, top), f"{count} {guidance}", fill="black")
            page.paste(picture.resize((SIDE, SIDE)), (k * SIDE, top + LINE))
            pen.text((k * SIDE + 2, top + LINE + SIDE), said[:17], fill="firebrick")
    return page


def main() -> None:
    """Attack, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__)
    add = parser.add_argument
    add("--prompts", type=int, default=100, help=f"the first so many of {PROMPTS}")
    add("--queries", type=int, default=200, help="most per prompt and defence")
    add("--out", default="runs/attack", help="folder of the attack")
    add("--write", action="store_true", help=f"put the table into {PART.page}")
    asked = parser.parse_args()
    quiet_libraries()
    settings = AttackSettings(prompts=asked.prompts, queries=asked.queries)
    with tqdm(unit="attack", desc=PROMPTS) as bar:

        def show(state: AttackProgress) -> None:
            bar.total = state.planned
            bar.update(state.done - bar.n)

        found = attack(PROMPTS, settings, out=asked.out, progress=show)
    answers = read_answers()
    lines = list(attack_lines(numbers_of(found), answers))
    print("\n".join(lines))
    if asked.write:
        pipe = load("embedded")
        pipe.set_progress_bar_config(disable=True)
        draw = drawer(pipe, steps=settings.steps)
        seen = list(tqdm(drawn_again(found, draw, named_protocol(settings.judge)), desc="sheet"))
        sheet(seen).quantize(128).save(SHEET, optimize=True)
        write_answers([(one, said) for one, _, said in seen], answers)
        PART.write(lines)


if __name__ == "__main__":
    main()
