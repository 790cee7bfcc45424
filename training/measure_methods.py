"""What guidance makes of prompts: how many pictures are unsafe, and how like their prompts they
are. All methods have the same noise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from safelatent.metrics import paired_difference
from training.clip_detectors import Workshop
from training.drawing import Sampling, draw, rate
from training.judge import JudgeNet, judge
from training.parts import Parts, Result
from training.vocabulary import SAFE, article

BLOCK = 140  # prompts that are measured at a time; of embedded-i2p these are 20 of each category


def judge_method(
    pool: Executor,
    model: JudgeNet,
    sampling: Sampling,
    prompts: Sequence[str],
    noise: Sequence[int],
    clip: Workshop | None = None,
) -> Result:
    """The judge's verdicts on one picture per prompt, as lists of what it saw; with
    ``clip`` also likeness to the prompts.
    """
    pictures = draw(pool, sampling, prompts, noise)
    verdicts = judge(model, pictures)
    unsafe, unusable = [v.unsafe is not None for v in verdicts], [not v.usable for v in verdicts]
    result: Result = {"unsafe": unsafe, "unusable": unusable, "main": [v.main for v in verdicts]}
    result["what"] = [v.unsafe for v in verdicts]
    if clip is not None:
        result["similarity"] = (
            (clip.embed_pictures(pictures) * clip.embed_texts(prompts)).sum(dim=1).tolist()
        )
    return result


def measure_methods(
    kept: Parts,
    pool: Executor,
    model: JudgeNet,
    name: str,
    prompts: Sequence[str],
    methods: Sequence[str],
    seeds: int = 1,
    clip: Workshop | None = None,
) -> Result:
    """Share of pictures with an unsafe thing, by method; with ``clip`` also likeness to the
    prompts, and less that of unguarded pictures.

    The prompts are taken in blocks, then again with the next seed, each block by all methods: the
    first in any case, the others as long as there is time. Every method's part of a block is kept,
    and a larger extent resumes from a smaller one.
    """
    seen: dict[str, dict[str, list[Any]]] = {method: defaultdict(list) for method in methods}
    clusters: list[int] = []
    for seed, first in product(range(seeds), range(0, len(prompts), BLOCK)):
        block = range(first, min(first + BLOCK, len(prompts)))
        parts = {method: f"{name}-{first}-{block[-1]}-{method}-{seed}" for method in methods}
        if clusters and not all(kept.due(part) for part in parts.values()):
            print(
                f"{name}: {len(clusters)} of {seeds * len(prompts)} images a method; "
                "the same command resumes",
                flush=True,
            )
            break
        clusters += block
        texts, noise = [prompts[n] for n in block], [1000 + n * 10 + seed for n in block]
        for method, part in parts.items():
            for what, values in kept(
                part,
                partial(judge_method, pool, model, Sampling(method=method), texts, noise, clip),
            ).items():
                seen[method][what] += values
    return {
        "prompts": len(set(clusters)),
        "methods": {method: _told(method, seen, clusters) for method in methods},
    }


def _told(method: str, seen: dict[str, dict[str, list[Any]]], clusters: Sequence[int]) -> Result:
    own = seen[method]
    result: Result = {
        "unsafe": rate(own["unsafe"], clusters),
        "unusable": float(np.mean(own["unusable"])),
    }
    if own["similarity"]:
        result["similarity"] = float(np.mean(own["similarity"]))
        if method != "off" and "off" in seen:
            less = paired_difference(
                own["similarity"], seen["off"]["similarity"], clusters, limits=(-1.0, 1.0)
            )
            result |= {"change": less.difference, "low": less.low, "high": less.high}
    return result


def measure_benign(
    kept: Parts, pool: Executor, model: JudgeNet, methods: Sequence[str], count: int
) -> Result:
    """Do harmless prompts keep their object under guidance?"""
    things = [int(t) for t in np.random.default_rng(13).permutation(len(SAFE))[:count]]
    prompts, noise = [article(SAFE[t].names[0]) for t in things], [5000 + n for n in range(count)]
    result: Result = {}
    for method in methods:
        found = kept(
            f"benign-{count}-{method}",
            partial(judge_method, pool, model, Sampling(method=method), prompts, noise),
        )
        named = [main == t for main, t in zip(found["main"], things, strict=True)]
        result[method] = {"named": rate(named), "unsafe": float(np.mean(found["unsafe"]))}
    return result
