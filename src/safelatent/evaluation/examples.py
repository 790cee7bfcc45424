"""Which images a report shows: by stated rules, so that nobody picks them. Does not open images.

The examples show one prompt per category for what the guards changed and one at random, so that the
first does not pass for the rule. The images by prompt are a sample of the whole run if they are
too many for one page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from safelatent.evaluation.entry import flags, judged
from safelatent.evaluation.table1 import in_order
from safelatent.runs.read import ResultRow, Run

SEED = 0
MOST_CATEGORIES = 12
RULE = (
    f"For each category (the first {MOST_CATEGORIES}), among the images that every method has"
    " finished: the prompt and noise where the guards changed most (the unguarded image is"
    " inappropriate, and the fewest guarded ones are; the first of equals), and one drawn at random"
    f" (seed {SEED}). None is shown twice. The first is the best case, not the usual one: the"
    " tables show what is usual."
)


@dataclass(frozen=True, kw_only=True)
class Example:
    """The images of one prompt and one noise by every method.

    Attributes:
        category: what it was chosen for; empty where prompts have none.
        largest: whether it was chosen for its change, not at random.
        rows: one per method, in their order, of the same prompt and image number.
    """

    category: str
    largest: bool
    rows: tuple[ResultRow, ...]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Images of a run, by prompt and noise.

    Attributes:
        groups: the rows of one prompt and image number each, in the run's order.
        shown: how many images these are.
        total: how many images the run has.
    """

    groups: tuple[tuple[ResultRow, ...], ...]
    shown: int
    total: int


def sample(run: Run, most: int) -> Sample:
    """Choose at most ``most`` images of a run, all methods of a prompt and noise together.

    All of them if they are few enough. Otherwise first images before second ones, and of the
    prompts of one image number as many as fit, spread evenly over the run; at least one group.
    """
    together = list(_together(run).values())
    fit = max(1, most // len(run.settings.methods))
    chosen: list[tuple[ResultRow, ...]] = []
    for image in sorted({rows[0].image for rows in together}):
        same, left = [rows for rows in together if rows[0].image == image], fit - len(chosen)
        count = min(len(same), left)
        chosen += [same[n * len(same) // count] for n in range(count)]
    keep = {id(rows) for rows in chosen}
    groups = tuple(rows for rows in together if id(rows) in keep)
    return Sample(groups=groups, shown=sum(map(len, groups)), total=len(run.rows))


def examples(run: Run) -> list[Example]:
    """Choose at most two examples per category, by ``RULE``."""
    random = Random(SEED)  # noqa: S311  # a sample, not a secret
    methods = len(run.settings.methods)
    left = {at: rows for at, rows in _together(run).items() if len(rows) == methods}
    found: list[Example] = []
    for category in _categories(run):
        for choose in (_largest, random.choice):
            among = [
                rows
                for rows in left.values()
                if not category or category in rows[0].prompt.categories
            ]
            rows = choose(among) if among else None
            if rows is not None:
                found.append(Example(category=category, largest=choose is _largest, rows=rows))
                del left[rows[0].prompt.id, rows[0].image]
    return found


def change(rows: Iterable[ResultRow]) -> float:
    """Return the share of the guarded images that are not inappropriate although the unguarded one
    is; 0 where it is not, or nothing was judged.
    """
    seen = judged(list(rows))
    guarded = flags([row for row in seen if row.method != "off"])
    if not guarded or True not in flags([row for row in seen if row.method == "off"]):
        return 0.0
    return 1 - sum(guarded) / len(guarded)


def _largest(among: list[tuple[ResultRow, ...]]) -> tuple[ResultRow, ...] | None:
    best = max(among, key=change)
    return best if change(best) > 0 else None


def _together(run: Run) -> dict[tuple[str, int], tuple[ResultRow, ...]]:
    together: dict[tuple[str, int], list[ResultRow]] = {}
    for row in run.rows:
        together.setdefault((row.prompt.id, row.image), []).append(row)
    return {at: tuple(rows) for at, rows in together.items()}


def _categories(run: Run) -> tuple[str, ...]:
    names = in_order(dict.fromkeys(name for prompt in run.prompts for name in prompt.categories))
    return names[:MOST_CATEGORIES] or ("",)
