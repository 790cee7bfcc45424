"""Plans of evaluations, searched and measured: ``python -m benchmarks.plans`` writes
``docs/plans-measured.md`` with its numbers (JSON) and its picture, and ``docs/cost.md``.

Candidates are searched on the training prompts alone, by successive halving. ``fast``, the best
candidate, the theories of when guidance matters, and plain guidance with the same trick are then
compared with ``exact`` on prompts that no choice has seen: passes of the denoiser (counted at its
last layer), time against plain guidance, share inappropriate and unusable, and CLIP similarity on
benign prompts. What is most telling comes first, and every few images are saved: with ``--minutes``
it stops and writes up what there is, and the same command resumes.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import cost
from benchmarks.plans_arms import BOTH_OFF, EARLY, LATE, PLAIN, arms, without_concept
from benchmarks.plans_page import JSON, MOST_EVALUATIONS, PAGE, PICTURE, page, picture, rows_of
from benchmarks.trial import Case, Record, Trial, multistep, trial_file
from benchmarks.turning import turning
from safelatent import load
from safelatent.guidance import FAST, SLD, Plan, preset
from safelatent.models import model_digest
from safelatent.models.load import EMBEDDED
from safelatent.prompts import Prompt, embedded_benign, embedded_i2p
from safelatent.prompts.embedded import embedded_i2p_train
from safelatent.storage import write_whole

SETS = {"train": embedded_i2p_train, "held-out": embedded_i2p, "benign": embedded_benign}
FEW = 20  # steps, of DPM++ 2M
# As their texts say. All of them cost no more than plain guidance, or one evaluation in ten more.
CANDIDATES = tuple(
    map(
        Plan.parse,
        (
            str(FAST),
            "concept=4,uncond=4",
            "concept=2/6@0.85,uncond=2/4@0.85",
            "concept=6,uncond=3",
            "concept=8,uncond=4",
            "either=2",
            "either=1/3@0.85",
            f"concept=5,{BOTH_OFF}",
            f"concept=2,uncond=2,{BOTH_OFF}",
            "concept=5,uncond=2,until=0.4",
        ),
    )
)
CURVE_IMAGES = 140  # of held-out prompts: those by which the whole curve is known
EARLY_IMAGES = 420  # by which it is known whether the content comes back
TRICKS = (f"{PLAIN}{without_concept(FAST)}", f"{PLAIN}{BOTH_OFF}")


def cases(of: str, prompts: int, images: int) -> list[Case]:
    """Evenly spread prompts of a set: one image of each in a fixed random order, then another."""
    found: list[Case] = []
    for n in range(images):
        some = spread(list(SETS[of]()), prompts)
        random.Random(n).shuffle(some)  # noqa: S311
        found += [
            Case(of=of, key=f"{p.id} {n}", prompt=p.text, seed=(p.seed + n) % 2**63) for p in some
        ]
    return found


def spread(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """Return so many of the prompts, evenly spread."""
    count = min(count, len(prompts))
    return [prompts[n * len(prompts) // count] for n in range(count)]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Some cases by some arms, in one go: what is saved together.

    Attributes:
        steps: 20 are of DPM++ 2M, others of the pipeline's own scheduler.
        arms: by name; ``exact`` and the pipeline itself are always among them.
    """

    steps: int
    arms: tuple[str, ...]
    cases: tuple[Case, ...]


def searched(
    steps: Sequence[int], cases: Sequence[Case], first: int, score: Callable[[str], float]
) -> Iterator[Cell]:
    """Yield the cells of the search: all candidates on ``first`` cases, then the better half on
    twice as many, until one is left (successive halving; Jamieson and Talwalkar, AISTATS 2016).

    Args:
        score: of a candidate by what is known so far; less is better.
    """
    left, count = [str(plan) for plan in CANDIDATES], first
    while True:
        for n in steps:
            yield Cell(steps=n, arms=tuple(left), cases=tuple(cases[:count]))
        if len(left) == 1 or count >= len(cases):
            return
        left = sorted(left, key=score)[: -(-len(left) // 2)]
        count = min(2 * count, len(cases))


def compared(
    steps: Sequence[int], held: Sequence[Case], benign: Sequence[Case], best: str, block: int
) -> Iterator[Cell]:
    """Yield the cells of the comparison on prompts that no choice has seen, the most telling first.

    ``fast`` and the best of the search against ``exact`` in every round, and with most steps the
    concept early alone; guidance of both early, the concept late, plain guidance with the same
    trick, and the rest of the curve in every second; benign prompts in every third. Once these are
    known, all images go to ``fast``, whose bounds need thousands.
    """
    curve = (BOTH_OFF, LATE, *TRICKS, "concept=2", "concept=5", "either=2")
    for n, start in enumerate(range(0, max(len(held), len(benign)), block)):
        part = tuple(held[start : start + block])
        main = tuple(dict.fromkeys((str(FAST), best if start < CURVE_IMAGES else str(FAST))))
        good = tuple(benign[start // 3 : start // 3 + block]) if n % 3 == 0 else ()
        for few in steps:
            early = (EARLY,) if few == max(steps) and start < EARLY_IMAGES else ()
            if part:
                yield Cell(steps=few, arms=(*main, *early), cases=part)
            if good:
                yield Cell(steps=few, arms=main, cases=good)
        if n % 2 == 0 and start < CURVE_IMAGES and part:
            yield Cell(steps=max(steps), arms=curve, cases=part)


def score_of(records: Sequence[Record]) -> Callable[[str], float]:
    """Return the share of images of an arm that are inappropriate, unusable or refused; more than 1
    where it costs more than ``fast`` may.
    """
    mine: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record["set"] == "train":
            mine[record["arm"]].append(record)

    def score(name: str) -> float:
        rows = mine[name]
        dear = any(
            r.get("evaluations", 0) > MOST_EVALUATIONS.get(r["steps"], float("inf")) for r in rows
        )
        return dear + sum(r["label"] != "safe" for r in rows) / max(1, len(rows))

    return score


class Measuring:
    """The trial, cell by cell, until the time is spent.

    Args:
        pipe: of the embedded model's kind.
        minutes: of this process's own computing; None: no limit.
    """

    def __init__(
        self, pipe: Any, safety: SLD, file: Path, batch: int, minutes: float | None
    ) -> None:
        self.pipe, self.safety, self.file, self.batch = pipe, safety, file, batch
        self.minutes, self._own = minutes, pipe.scheduler

    def draw(self, cell: Cell, share: float = 1.0) -> bool:
        """Draw what the file lacks of a cell, unit by unit; returns whether all of it is there.

        Args:
            share: of the minutes after which no unit begins.
        """
        self.pipe.scheduler = self._own
        if cell.steps == FEW:
            self.pipe.scheduler = multistep(self._own)
        trial = Trial(pipe=self.pipe, arms=arms(self.pipe, self.safety, cell.arms), file=self.file)
        for n in range(0, len(cell.cases), self.batch):
            if self.minutes is not None and time.process_time() > 60 * share * self.minutes:
                return False
            trial.run(cell.cases[n : n + self.batch], cell.steps, self.batch)
        self.pipe.scheduler = self._own
        return True

    def records(self) -> list[Record]:
        """Return all that is kept, each once."""
        return list(Trial(pipe=self.pipe, arms={}, file=self.file).kept().values())


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plans", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, help="of computing, after which what there is is written up")
    add("--search", type=float, default=0.35, help="share of the minutes for the search")
    add("--images", type=int, default=20, help="most images per held-out prompt")
    add("--prompts", type=int, default=140, help="most prompts of each set")
    add("--benign", type=int, default=140, help="most benign prompts")
    add("--safety", default="strong", help="preset that follows the plans")
    add("--steps", type=int, nargs="+", default=[50, FEW], help=f"{FEW}: of DPM++ 2M")
    add("--batch", type=int, default=10, help="images in one call, and between saves")
    add("--threads", type=int, default=1, help="of torch")
    add("--turning", type=int, default=4, help="prompts by which the turning is measured")
    add("--out", type=Path, default=Path("out/plans"), help="folder of what is measured")
    add("--docs", action=argparse.BooleanOptionalAction, default=True, help="write the pages")
    return parser.parse_args()


def measure(pipe: Any, asked: argparse.Namespace) -> dict[str, Any]:
    """Search, compare, and return what was found, as the page and the JSON have it."""
    safety, weights = preset(asked.safety).by_noise_level(), model_digest(EMBEDDED)
    file = trial_file(asked.out, asked.safety)
    doing = Measuring(pipe, safety, file, asked.batch, asked.minutes)
    drawn = {
        name: cases(name, asked.prompts, asked.images if name == "held-out" else 1) for name in SETS
    }
    seen = drawn["train"][: asked.turning]
    lines = turning(pipe, asked.safety, seen, max(asked.steps)) if seen else []
    score = lambda name: score_of(doing.records())(name)  # noqa: E731
    for cell in searched(asked.steps, drawn["train"], asked.batch, score):
        if not doing.draw(cell, asked.search):
            break
    best = min(map(str, CANDIDATES), key=score_of(doing.records()))
    benign = drawn["benign"][: asked.benign]
    for cell in compared(asked.steps, drawn["held-out"], benign, best, asked.batch):
        if not doing.draw(cell):
            break
    rows = rows_of(doing.records())
    return {
        "weights": weights,
        "safety": asked.safety,
        "best": best,
        "turning": lines,
        "rows": rows,
    }


def main() -> None:
    """Measure, and write the page, the JSON and the picture."""
    asked = options()
    torch.set_num_threads(asked.threads)
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    found = measure(pipe, asked)
    text = page(found)
    print(text)
    if asked.docs:
        write_whole(JSON, (json.dumps(found, indent=1) + "\n").encode())
        write_whole(PICTURE, picture(found["rows"]))
        write_whole(PAGE, text.encode())
        cost.write()


if __name__ == "__main__":
    main()
