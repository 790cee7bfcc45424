"""Find the prompts and seeds of the README's pictures and of ``examples/own_concept.py``.

Run ``python docs/choose_prompts.py`` after the embedded model has changed. A picture shows what it
should if the embedded judge names the prompt's unsafe thing in the unguarded image (any, where the
prompt names a category) and none in any guarded one, and names the prompt's own main thing in all
of them. Each line printed is one that does: the
margin, which is the smallest distance of a score from the judge's threshold, the prompt and its
seed. The lowest seed comes first: a command without ``--seed`` is the shortest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from safelatent import DEFAULT_CONCEPT, Concept, guard, load
from safelatent.detectors import Verdict, embedded_judge, examine
from safelatent.guidance import PresetName
from safelatent.prompts import embedded_i2p

SEEDS = 4  # per prompt, drawn in one batch
STEPS = 50


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture to be chosen: main things by prompt (None: whatever the unguarded image shows), and
    the methods that must remove what is unsafe.
    """

    name: str
    prompts: dict[str, str | None]
    methods: tuple[PresetName, ...]
    concept: Concept = DEFAULT_CONCEPT


def _pairs(mains: Iterable[str], unsafe: Iterable[str]) -> dict[str, str | None]:
    return {f"a {main} with {thing}": main for thing in unsafe for main in mains}


PICTURES = (
    Picture(  # of `make demo`: sentences whose forms no training saw
        name="demo",
        prompts={prompt.text: None for prompt in embedded_i2p("explicit")},
        methods=("strong",),
    ),
    Picture(
        name="strong",
        prompts=_pairs(("penguin", "dog"), ("a pistol", "a bomb")),
        methods=("strong",),
    ),
    Picture(
        name="compare",
        prompts=_pairs(("panda", "tomato"), ("a pistol", "an axe")),
        methods=("medium", "strong", "max"),
    ),
    Picture(
        name="trace",
        prompts=_pairs(("birthday cake", "pizza"), ("a knife", "an axe")),
        methods=("max",),
    ),
    Picture(
        name="own concept",
        prompts=_pairs(("panda", "koala", "dog"), ("a skull",)),
        methods=("strong",),
        concept=Concept(terms=("skull", "coffin", "grave")),
    ),
)


def draw(pipe: Any, prompt: str, seeds: Sequence[int]) -> list[Verdict]:
    """Return the judge's verdict on the prompt's image for every seed."""
    images = pipe(
        [prompt] * len(seeds),
        num_inference_steps=STEPS,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
    ).images
    return examine(embedded_judge(), images)


def margin(verdict: Verdict, label: str, main: str) -> float:
    """Return how far the score is from the threshold, or 0 where label or main thing are others."""
    if verdict.label != label or verdict.score is None or not isinstance(verdict.evidence, dict):
        return 0.0
    return abs(verdict.score - verdict.threshold) if verdict.evidence["main"] == main else 0.0


def as_named(verdict: Verdict, prompt: str) -> bool:
    """Return whether the unsafe thing in the image is the one that the prompt names."""
    evidence = verdict.evidence
    return isinstance(evidence, dict) and str(evidence.get("unsafe")) in prompt


def _shown(verdict: Verdict) -> str:
    """Return the main thing in the image, or nothing where the judge names none."""
    main = verdict.evidence["main"] if isinstance(verdict.evidence, dict) else "none"
    return "" if main == "none" else str(main)


def search(pipe: Any, picture: Picture) -> list[tuple[float, str, int]]:
    """Return (margin, prompt, seed) of all that show what they should, the lowest seed first."""
    pipe.set_progress_bar_config(disable=True)
    found: list[tuple[float, str, int]] = []
    for prompt, main in picture.prompts.items():
        seeds = list(range(SEEDS))
        verdicts = draw(pipe, prompt, seeds)
        mains = [main or _shown(verdict) for verdict in verdicts]
        margins = [
            margin(v, "inappropriate", m) if main is None or as_named(v, prompt) else 0.0
            for v, m in zip(verdicts, mains, strict=True)
        ]
        for method in picture.methods:
            seeds = [seed for seed in seeds if margins[seed]]
            if not seeds:
                break
            guarded = guard(pipe, method, concept=picture.concept)
            for seed, verdict in zip(seeds, draw(guarded, prompt, seeds), strict=True):
                margins[seed] = min(margins[seed], margin(verdict, "safe", mains[seed]))
        found += [(m, prompt, seed) for seed, m in enumerate(margins) if m]
    return sorted(found, key=lambda row: (row[2], -row[0]))


def main(names: Sequence[str]) -> None:
    """Print the best five of each picture, or of those that are named."""
    pipe = load("embedded")
    for picture in PICTURES:
        if names and picture.name not in names:
            continue
        found = search(pipe, picture)
        tried = SEEDS * len(picture.prompts)
        print(f"{picture.name}: {len(found)} of {tried} show it", flush=True)
        for best, prompt, seed in found[:5]:
            print(f"  {best:.3f}  {prompt!r}, seed {seed}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
