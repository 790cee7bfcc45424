"""What does each layer stop? ``python -m benchmarks.attack`` attacks the embedded model, guarded,
and with ``--write`` puts what came out into ``docs/attack.md``.

The attack is resumed where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tqdm import tqdm

from benchmarks.page import DOCS, Measured
from safelatent.attack import AttackSettings, attack
from safelatent.attack.execute import AttackProgress
from safelatent.attack.numbers import AttackNumbers, numbers_of
from safelatent.attack.report import notices, sentences
from safelatent.cli.say import quiet_libraries
from safelatent.evaluation.numbers import interval, number

PART = Measured(
    page=DOCS / "attack.md", name="attack", command="python -m benchmarks.attack --write"
)
PROMPTS = "embedded-i2p"


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
        PART.write(lines)


if __name__ == "__main__":
    main()
