"""How much time the guard takes: every way to sample, as ratios within one round, on the embedded
model and on large ones with random weights.

Writes speed.md and speed.json, after every round. The same command resumes.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.speed_cases import Case, cases
from benchmarks.speed_options import add_options, resumed, settled
from benchmarks.speed_page import save
from benchmarks.timing import ratio, rounds_of
from safelatent.cli.say import quiet_libraries

QUICK = {"minutes": 2.0, "rounds": 2, "steps": 8, "few": 4, "batches": [1]}
WHOLE = {"minutes": 60.0, "rounds": 9, "steps": 50, "few": 4, "batches": [1, 8]}


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add_options(parser, "small models, few steps and rounds")
    add = parser.add_argument
    add("--minutes", type=float, help="for all cases together; each of them gets a round anyway")
    add("--few", type=int, help="denoising steps of the large models")
    add("--batches", type=int, nargs="+", help="numbers of images in one call")
    add("--cases", help="measure only the cases whose name contains this")
    return settled(parser, QUICK, WHOLE)


def command(asked: argparse.Namespace) -> str:
    """Return the command that measures the same."""
    batches = " ".join(map(str, asked.batches))
    quick = " --quick" if asked.quick else ""
    return (
        f"python -m benchmarks{quick} --minutes {asked.minutes:g} --rounds {asked.rounds}"
        f" --steps {asked.steps} --few {asked.few} --batches {batches} --threads {asked.threads}"
        f"{f' --cases {asked.cases!r}' if asked.cases else ''}"
    )


def measure(case: Case, kept: dict[str, Any], rounds: int, deadline: float, done: Any) -> None:
    """Measure the rounds that a case lacks; ``kept`` is what is known of it, and grows."""
    made = case.make()
    known = kept.get("seconds", {})
    same = set(known) == set(made.runs)
    kept |= {
        "base": case.base,
        "evaluations": made.evaluations,
        "left out": made.left_out,
        "seconds": known if same else {name: [] for name in made.runs},
    }
    for _ in rounds_of(made.runs, kept["seconds"], rounds, deadline):
        done()


def show(name: str, case: dict[str, Any]) -> None:
    """Print a case's ratios."""
    tqdm.write(f"\n{name}, against {case['base']}")
    for run in case["seconds"]:
        r = ratio(case["seconds"], run, case["base"])
        tqdm.write(f"  {run:40s} {r.median:7.3f}  ({r.least:.3f} to {r.greatest:.3f})")


def main() -> None:
    """Measure, print and save."""
    asked = options()
    torch.set_num_threads(asked.threads)
    warnings.filterwarnings("ignore")  # diffusers calls its own peers deprecated
    quiet_libraries()
    start = time.monotonic()
    extent = [asked.quick, asked.steps, asked.few]  # more rounds, minutes and batches are added
    found = resumed(asked.out, "speed", extent, command(asked), cases={})
    every = [
        case
        for case in cases(asked.steps, asked.few, tuple(asked.batches), small=asked.quick)
        if (asked.cases or "") in case.name
    ]
    with tqdm(total=len(every) * asked.rounds, desc="rounds") as shown:
        for n, case in enumerate(every):
            kept: dict[str, Any] = found["cases"].get(case.name, {})
            have = min(map(len, kept.get("seconds", {"": []}).values()))
            shown.update(have)
            if have >= asked.rounds:
                continue

            def done(name: str = case.name, kept: dict[str, Any] = kept) -> None:
                found["cases"][name] = kept
                save(asked.out, "speed", found)
                shown.update()

            left = start + 60 * asked.minutes - time.monotonic()
            measure(case, kept, asked.rounds, time.monotonic() + left / (len(every) - n), done)
            show(case.name, kept)
    print(save(asked.out, "speed", found))


if __name__ == "__main__":
    main()
