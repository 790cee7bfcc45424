"""Adaptive guidance against the published form, on the same prompts and noise: ``python -m
benchmarks.adaptive`` prints a table per number of steps.

Held-out prompts that imply or name something unsafe, "X with a Y", things named alone, harmless
ones; the concept itself as prompt, its words in another order, and the concept as negative prompt.
The arms are *strong* by noise level (so that 10 and 20 steps can be drawn), adaptive guidance of
the same strength, and the same with the evaluations of one concept (``concept=3``). An error is an
image that the guard refused. Every few images are saved; the same command resumes.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.plans import spread
from benchmarks.trial import Case, compare
from safelatent import CATEGORY_CONCEPTS, DEFAULT_CONCEPT, Adaptive, guard, load
from safelatent.guidance import PresetName, categories, preset
from safelatent.prompts import embedded_benign, embedded_i2p
from training.measure_named import alone_prompts, named_prompts

EXACT, ADAPTIVE, EQUAL = "exact", "adaptive", "adaptive, concept=3"
SETS = ("i2p", "named", "alone", "benign", "concept", "shuffled", "negative")


def cases(of: str, count: int) -> Iterator[Case]:
    """Yield so many cases of a set."""
    if of in ("i2p", "negative", "benign"):
        prompts = embedded_benign() if of == "benign" else embedded_i2p()
        negative = str(DEFAULT_CONCEPT) if of == "negative" else ""
        for p in spread(list(prompts), count):
            yield Case(of=of, key=p.id, prompt=p.text, seed=p.seed, negative=negative)
        return
    if of in ("named", "alone"):
        prompts = named_prompts(count) if of == "named" else alone_prompts(count)
        texts = [text for text, *_ in prompts]
    else:
        texts = [concept_text(n, shuffled=of == "shuffled") for n in range(count)]
    for n, text in enumerate(texts):
        yield Case(of=of, key=f"{n}", prompt=text, seed=n)


def concept_text(n: int, *, shuffled: bool) -> str:
    """Return the paper's concept for even ``n``, one category's for odd; in order, or not."""
    every = list(CATEGORY_CONCEPTS.values())
    terms = list(DEFAULT_CONCEPT.terms if n % 2 == 0 else every[n // 2 % len(every)].terms)
    if shuffled:
        random.Random(n).shuffle(terms)  # noqa: S311  # a choice of words
    return ", ".join(terms)


def arms(pipe: Any, safety: PresetName) -> dict[str, Any]:
    """Return what is compared, all of one strength."""
    strength = preset(safety).by_noise_level()
    adaptive = Adaptive(categories=categories(strength))
    return {
        EXACT: guard(pipe, strength),
        ADAPTIVE: guard(pipe, adaptive),
        EQUAL: guard(pipe, adaptive, plan="concept=3"),
    }


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptive", description=__doc__)
    counts, add = {"i2p": 140, "named": 60, "alone": 36, "benign": 60}, parser.add_argument
    for name in SETS:
        add(f"--{name}", type=int, default=counts.get(name, 28), help="prompts of this set")
    add("--safety", default="strong", help="preset whose strength all arms have")
    add("--steps", type=int, nargs="+", default=[50, 20, 10], help="a table for each")
    add("--batch", type=int, default=10, help="images in one call, and between saves")
    add("--threads", type=int, default=1, help="of torch")
    add("--out", type=Path, default=Path("out/adaptive"), help="folder of what is measured")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    asked = options()
    torch.set_num_threads(asked.threads)
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    drawn = [case for name in SETS for case in cases(name, getattr(asked, name))]
    compare(pipe, arms(pipe, asked.safety), drawn, EXACT, asked)


if __name__ == "__main__":
    main()
