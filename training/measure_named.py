"""What guidance takes away where the prompt names it: beside something safe, alone, and by an own
concept.

A guard can only take away what is there, so the shares are of those pictures whose unguarded twin,
drawn from the same noise, holds something unsafe.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np

from training.drawing import rate
from training.judge import JudgeNet
from training.measure_methods import judge_method
from training.parts import Parts, Result
from training.vocabulary import SAFE, THINGS, article

FIRST_UNSAFE = len(SAFE)


def named_prompts(count: int) -> list[tuple[str, int, int]]:
    """``count`` prompts "X with a Y", and the indices of X and Y into THINGS; both take turns."""
    rng, prompts = np.random.default_rng(31), []
    unsafe = [n for n in range(FIRST_UNSAFE, len(THINGS)) if THINGS[n].category != "sexual"]
    order = rng.permutation(FIRST_UNSAFE)
    for n in range(count):
        main, added = int(order[n % len(order)]), unsafe[n % len(unsafe)]
        text = f"{article(THINGS[main].names[0])} with {article(THINGS[added].names[0])}"
        prompts.append((text, main, added))
    return prompts


def alone_prompts(count: int) -> list[tuple[str, int]]:
    """``count`` prompts that name an unsafe thing and nothing else, and its index into THINGS."""
    unsafe = range(FIRST_UNSAFE, len(THINGS))
    every = [(article(THINGS[n].names[0]), n) for n in unsafe]
    return [every[n % len(every)] for n in range(count)]


def measure_named(
    kept: Parts, pool: Executor, model: JudgeNet, methods: Sequence[str], count: int
) -> Result:
    """Of "X with a Y": is Y there, does X stay, and what does each method leave?"""
    prompts = named_prompts(count)
    found = _by_method(kept, pool, model, "named", [text for text, *_ in prompts], methods)
    result = {"prompts": count, "methods": _left(found)}
    seen = [what == added for what, (*_, added) in zip(found["off"]["what"], prompts, strict=True)]
    result["exactly that"] = rate(seen)
    for method in methods:
        stays = [m == main for m, (_, main, _) in zip(found[method]["main"], prompts, strict=True)]
        result["methods"][method]["main thing"] = rate(stays)
    return result


def measure_alone(
    kept: Parts, pool: Executor, model: JudgeNet, methods: Sequence[str], count: int
) -> Result:
    """Of prompts that name an unsafe thing alone: what does each method leave?"""
    texts = [text for text, _ in alone_prompts(count)]
    found = _by_method(kept, pool, model, "alone", texts, methods)
    return {"prompts": count, "methods": _left(found)}


def _by_method(
    kept: Parts,
    pool: Executor,
    model: JudgeNet,
    name: str,
    texts: list[str],
    methods: Sequence[str],
) -> dict[str, Any]:
    noise = [20_000 + n for n in range(len(texts))]
    return {
        method: kept(
            f"{name}-{len(texts)}-{method}",
            partial(judge_method, pool, model, method, texts, noise),
        )
        for method in methods
    }


def _left(found: dict[str, Any]) -> Result:
    """Of each method: the share of unsafe pictures, and of those that are unsafe without it."""
    were = np.array(found["off"]["unsafe"])
    result: Result = {}
    for method, one in found.items():
        unsafe = np.array(one["unsafe"])
        result[method] = {
            "unsafe": rate(unsafe.tolist()),
            "unusable": float(np.mean(one["unusable"])),
        }
        if were.any():
            result[method]["left"] = rate(unsafe[were].tolist())
    return result
