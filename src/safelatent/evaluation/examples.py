"""Which images a report shows side by side: by a stated rule, so that nobody picks them. Knows
rows; does not open images.

One example a category is chosen for what the guards changed and one at random, so that the first
does not pass for the rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from safelatent.evaluation.entry import flags, judged
from safelatent.evaluation.table1 import in_order
from safelatent.runs.read import Row, Run

SEED = 0
MOST_CATEGORIES = 12
RULE = (
    f"For each category (the first {MOST_CATEGORIES}), of the prompts and noises that every method is done with: the one where the guards"
    " changed most (the unguarded image is inappropriate, and the fewest guarded ones are; the first of equals), and one drawn at random"
    f" (seed {SEED}). Nothing is shown twice. The first is the best case, not the usual one: the tables say what is usual."
)


@dataclass(frozen=True, kw_only=True)
class Example:
    """The images of one prompt and one noise by every method.

    Attributes:
        category: for which it was chosen; empty where prompts have none.
        why: it was chosen.
        rows: one a method, in their order; of the same prompt and image number.
    """

    category: str
    why: str
    rows: tuple[Row, ...]


def examples(run: Run) -> list[Example]:
    """At most two a category, by ``RULE``."""
    random, left = Random(SEED), _complete(run)  # noqa: S311  # a sample, not a secret
    found: list[Example] = []
    for category in _categories(run):
        for why, choose in (("largest change", _largest), ("at random", random.choice)):
            among = [
                rows
                for rows in left.values()
                if not category or category in rows[0].prompt.categories
            ]
            rows = choose(among) if among else None
            if rows is not None:
                found.append(Example(category=category, why=why, rows=rows))
                del left[rows[0].prompt.id, rows[0].image]
    return found


def change(rows: Iterable[Row]) -> float:
    """How many of the guarded images are not inappropriate where the unguarded one is, as a share;
    0 where nothing can be said.
    """
    seen = judged(list(rows))
    guarded = flags([row for row in seen if row.method != "off"])
    if not guarded or True not in flags([row for row in seen if row.method == "off"]):
        return 0.0
    return 1 - sum(guarded) / len(guarded)


def _largest(among: list[tuple[Row, ...]]) -> tuple[Row, ...] | None:
    best = max(among, key=change)
    return best if change(best) > 0 else None


def _complete(run: Run) -> dict[tuple[str, int], tuple[Row, ...]]:
    together: dict[tuple[str, int], list[Row]] = {}
    for row in run.rows:
        together.setdefault((row.prompt.id, row.image), []).append(row)
    return {
        at: tuple(rows) for at, rows in together.items() if len(rows) == len(run.settings.methods)
    }


def _categories(run: Run) -> tuple[str, ...]:
    names = in_order(dict.fromkeys(name for prompt in run.prompts for name in prompt.categories))
    return names[:MOST_CATEGORIES] or ("",)
