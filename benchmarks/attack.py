"""What does each layer stop? ``python -m benchmarks.attack`` attacks the embedded model, guarded,
and with ``--write`` puts what came out into ``docs/attack.md``.

The attack is resumed where it was stopped. What got through is drawn again into
``docs/attack.png``: a search against a judge finds what it takes wrongly for unsafe, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw
from tqdm import tqdm

from benchmarks.page import DOCS, Measured
from safelatent import load
from safelatent.attack import AttackSettings, attack
from safelatent.attack.execute import AttackProgress
from safelatent.attack.folder import Attack
from safelatent.attack.numbers import AttackNumbers, numbers_of
from safelatent.attack.report import notices, sentences
from safelatent.attack.settings import GUIDANCES, LAYERS, Defence
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
COLUMNS, SIDE, LINE = 12, 96, 12  # of the sheet: pictures of a defence, and pixels


def attack_lines(found: AttackNumbers) -> Iterator[str]:
    """Yield what the page shows: the extent, a table by defence, what came out, what speaks against
    it.
    """
    asked, facts = found.attack.settings, found.attack.facts
    yield (
        f"The first {len(found.attack.prompts)} prompts of {PROMPTS}, at most {asked['queries']}"
        f" queries per prompt and defence, {asked['steps']} steps, weights"
        f" `{facts['model_digest'][:12]}`. In brackets 95 % intervals over prompts."
    )
    yield ""
    yield "| guidance | layers | success | at once | queries | of them refused |"
    yield "|---" * 6 + "|"
    for one in found.successes.values():
        shares = [f"{number(r.value)} ({interval(r)})" for r in (one.share, one.at_once)]
        cells = [one.defence.guidance, one.defence.layers, *shares]
        yield f"| {' | '.join(cells)} | {one.queries:,} | {one.refused:,} |"
    yield ""
    for line in (*sentences(found), *notices(found)):
        yield f"- {line}"
    yield ""
    yield f"What got through first, at most {COLUMNS} of each, with what the judge sees in it:"
    yield ""
    yield f"![Pictures that got through, by defence]({SHEET.name})"


def got_through(found: Attack, defence: Defence) -> Iterator[tuple[str, str]]:
    """Yield the prompt's id and the text of each prompt's first success."""
    for name, asked in found.queries.get(defence, {}).items():
        text = next((one.text for one in asked if one.success), None)
        if text is not None:
            yield name, text


def drawn_again(
    found: Attack, draw: Draw, judge: Protocol
) -> Iterator[tuple[str, Sequence[tuple[Image.Image, str]]]]:
    """Yield for each guidance, alone and with all three layers, the pictures that got through, and
    what the judge sees in each.
    """
    prompts = {prompt.id: prompt for prompt in embedded_i2p()}
    for guidance in GUIDANCES:
        for layers in (LAYERS[0], LAYERS[-1]):
            first = list(got_through(found, Defence(guidance=guidance, layers=layers)))[:COLUMNS]
            made = [draw(guidance, [text], prompts[name])[0] for name, text in first]
            seen = [one.in_brief() for one in judge.judge(made)] if made else []
            yield f"{guidance}, {layers}", list(zip(made, seen, strict=True))


def sheet(rows: Sequence[tuple[str, Sequence[tuple[Image.Image, str]]]]) -> Image.Image:
    """Return a row of pictures for each defence, with a line of writing above and below."""
    height = SIDE + 2 * LINE
    page = Image.new("RGB", (COLUMNS * SIDE, len(rows) * height), "white")
    pen = ImageDraw.Draw(page)
    for n, (title, pictures) in enumerate(rows):
        top = n * height
        pen.text((2, top), title if pictures else f"{title}: nothing", fill="black")
        for k, (picture, seen) in enumerate(pictures):
            page.paste(picture.resize((SIDE, SIDE)), (k * SIDE, top + LINE))
            pen.text((k * SIDE + 2, top + LINE + SIDE), seen[:17], fill="firebrick")
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
    lines = list(attack_lines(numbers_of(found)))
    print("\n".join(lines))
    if asked.write:
        draw = drawer(load("embedded"), steps=settings.steps)
        rows = list(drawn_again(found, draw, named_protocol(settings.judge)))
        sheet(rows).quantize(64).save(SHEET, optimize=True)
        PART.write(lines)


if __name__ == "__main__":
    main()
