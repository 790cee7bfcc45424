"""The card's figures: made by one command, kept part by part so that it can be stopped, and written into the card from what it printed.

Everything is judged by a classifier that was trained on real scenes only (``training.judge``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from safelatent import load
from safelatent.prompts import embedded_benign, embedded_i2p
from safelatent.runs.files import write_whole
from safelatent.statistics import paired_difference
from training.captions import in_style, where
from training.card import CARD, card_lines, write_card
from training.clip_detectors import Workshop, measure_clip
from training.drawing import METHODS, draw, rate, workers
from training.glyphs import glyphs
from training.judge import JudgeNet, JudgeStage, both_named, judge, new_judge, package_judge
from training.loop import Budget, load_average, train
from training.measure_speed import measure_speed
from training.measure_world import (
    held_out_i2p,
    measure_backgrounds,
    measure_i2p,
    measure_pairs,
    measure_places,
    measure_words,
)
from training.probes import EXPLICIT, IMPLICIT
from training.scenes import CORNERS, STYLES, Placed, Scene, random_scene, render
from training.texts import POOL, read
from training.vae import psnr, sheet, to_tensor
from training.vocabulary import SAFE, article
from training.world_moments import measure_frechet

BLOCK = 140  # prompts that are measured at a time

Result = dict[str, Any]
Keep = Callable[[str, Callable[[], Result]], Result]


def _judge_stage(work: Path) -> JudgeStage:
    return JudgeStage(glyphs(work))


def the_judge(work: Path, minutes: float, processes: int) -> JudgeNet:
    """Trained when there is none yet, and written into the package."""
    file = train(partial(_judge_stage, work), work / "judge", Budget(minutes=minutes, workers=processes, seed=7))
    model = new_judge()
    load_average(model, file)
    package_judge(model)
    return model.eval()


def measure_judge(model: JudgeNet, work: Path, count: int) -> Result:
    """Whether it knows the safe things, on fresh real scenes. What it misses of the unsafe ones is told beside the other detectors."""
    rng, drawings = np.random.default_rng(11), _judge_stage(work).drawings
    scenes = [random_scene(rng, str(rng.choice(["single", "addition"]))) for _ in range(count)]
    verdicts = judge(model, [render(scene, drawings) for scene in scenes])
    pairs = [random_scene(rng, "pair") for _ in range(count)]
    both = both_named(model, [render(scene, drawings) for scene in pairs], [scene.safe for scene in pairs])
    return {
        "main thing named": rate([v.main in scene.safe for v, scene in zip(verdicts, scenes, strict=True)]),
        "both things of a pair": rate(both),
    }


@torch.no_grad()
def measure_vae(pipe: Any, work: Path, count: int) -> Result:
    """Reconstruction of ``count`` fresh scenes of each style."""
    rng, drawings = np.random.default_rng(12), _judge_stage(work).drawings
    result: Result = {}
    for style in STYLES:
        x = to_tensor([render(replace(random_scene(rng), style=style), drawings) for _ in range(count)])
        result[style] = psnr(pipe.vae.decode(pipe.vae.encode(x).latents).sample, x)
    return result


def object_scenes(count: int) -> list[Scene]:
    """``count`` single things; things and styles take turns, and a third of them is small and in one of the corners."""
    rng, styles = np.random.default_rng(14), list(STYLES)
    scenes: list[Scene] = []
    for n in range(count):
        spot = str(rng.choice(CORNERS)) if rng.random() < 1 / 3 else "middle"
        style = styles[(n + n // len(SAFE)) % len(styles)]
        scenes.append(Scene(background="white", placed=(Placed(thing=n % len(SAFE), spot=spot),), style=style))
    return scenes


def measure_objects(pool: Executor, model: JudgeNet, work: Path, count: int) -> Result:
    """Is the object of a single-object prompt the one that is drawn?"""
    scenes = object_scenes(count)
    things = [scene.safe[0] for scene in scenes]
    prompts = [in_style(where(article(SAFE[thing].names[0]), scene), scene.style) for thing, scene in zip(things, scenes, strict=True)]
    pictures = draw(pool, "off", prompts, range(count))
    verdicts = judge(model, pictures)
    named = [v.main == thing for v, thing in zip(verdicts, things, strict=True)]
    sheet([pictures[n] for n in np.random.default_rng(15).permutation(count)[:100]], 10).save(work / "measure/contact.png")

    def of(chosen: Callable[[Scene], bool]) -> Result:
        return rate([ok for ok, scene in zip(named, scenes, strict=True) if chosen(scene)])

    by = {style: of(partial(_drawn_in, style)) for style in STYLES}
    by |= {"small, in a corner": of(lambda scene: scene.placed[0].spot in CORNERS)}
    missed = sorted({SAFE[t].names[0] for t, ok in zip(things, named, strict=True) if not ok})
    unusable = float(np.mean([not v.usable for v in verdicts]))
    found = {"named": rate(named, things), "by kind": by, "objects": len(set(things)), "unusable": unusable}
    return {**found, "missed at least once": missed}


def _drawn_in(style: str, scene: Scene) -> bool:
    return scene.style == style


def judge_method(
    pool: Executor, model: JudgeNet, method: str, prompts: Sequence[str], seeds: Sequence[int], clip: Workshop | None = None
) -> Result:
    """The judge's verdicts on one picture a prompt by one method, as lists of what it saw; with ``clip`` also likeness to the prompts."""
    pictures = draw(pool, method, prompts, seeds)
    verdicts = judge(model, pictures)
    unsafe, unusable = [v.unsafe is not None for v in verdicts], [not v.usable for v in verdicts]
    result: Result = {"unsafe": unsafe, "unusable": unusable, "main": [v.main for v in verdicts]}
    if clip is not None:
        result["similarity"] = (clip.embed_pictures(pictures) * clip.embed_texts(prompts)).sum(dim=1).tolist()
    return result


def measure_methods(
    kept: Keep, pool: Executor, model: JudgeNet, name: str, prompts: Sequence[str], methods: Sequence[str], seeds: int
) -> Result:
    """Share of pictures with an unsafe thing, by method, on the same prompts and noise.

    Every seed of every method on every ``BLOCK`` of prompts is kept by itself: a larger extent goes on from a smaller one.
    """
    result: Result = {method: {"unsafe": [], "unusable": []} for method in methods}
    clusters: list[int] = []
    for seed, first in product(range(seeds), range(0, len(prompts), BLOCK)):
        block = range(first, min(first + BLOCK, len(prompts)))
        clusters += block
        texts, noise = [prompts[n] for n in block], [1000 + n * 10 + seed for n in block]
        for method in methods:
            part = f"{name}-{first}-{block[-1]}-{method}-{seed}"
            found = kept(part, partial(judge_method, pool, model, method, texts, noise))
            for what, values in result[method].items():
                values += found[what]
    return {m: {"unsafe": rate(r["unsafe"], clusters), "unusable": float(np.mean(r["unusable"]))} for m, r in result.items()}


def measure_benign(kept: Keep, pool: Executor, model: JudgeNet, methods: Sequence[str], count: int) -> Result:
    """Do harmless prompts keep their object under guidance?"""
    things = [int(t) for t in np.random.default_rng(13).permutation(len(SAFE))[:count]]
    prompts, noise = [article(SAFE[t].names[0]) for t in things], [5000 + n for n in range(count)]
    result: Result = {}
    for method in methods:
        found = kept(f"benign-{count}-{method}", partial(judge_method, pool, model, method, prompts, noise))
        named = [main == t for main, t in zip(found["main"], things, strict=True)]
        result[method] = {"named": rate(named), "unsafe": float(np.mean(found["unsafe"]))}
    return result


def measure_harmless(kept: Keep, pool: Executor, model: JudgeNet, clip: Workshop, methods: Sequence[str], count: int) -> Result:
    """What becomes of the first prompts of ``embedded-benign``; likeness to the prompts also less that of unguarded pictures, if any."""
    prompts = list(embedded_benign())[:count]
    texts, noise = [p.text for p in prompts], [p.seed % 2**31 for p in prompts]
    found = {m: kept(f"harmless-{count}-{m}", partial(judge_method, pool, model, m, texts, noise, clip)) for m in methods}
    result: Result = {}
    for method, one in found.items():
        result[method] = {"unsafe": rate(one["unsafe"]), "similarity": float(np.mean(one["similarity"]))}
        if method != "off" and "off" in found:
            less = paired_difference(one["similarity"], found["off"]["similarity"], range(count), limits=(-1.0, 1.0))
            result[method] |= {"change": less.difference, "low": less.low, "high": less.high}
    return result


def _kept(work: Path, name: str, compute: Callable[[], Result]) -> Result:
    """A part of the measurement, computed once for the weights at hand."""
    file = work / "measure" / f"{name.replace(' ', '-')}.json"
    if not file.exists():
        write_whole(file, json.dumps(compute(), indent=1).encode())
    return json.loads(file.read_text())


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is measured: prompts, images and seeds. What is 0 is left out, and the card does not tell of it."""

    objects: int = 1000
    benign: int = 30
    seeds: int = 1
    prompts: int = 700
    harmless: int = 84
    pairs: int = 1000
    places: int = 12
    real: int = 306
    scenes: int = 60
    methods: Sequence[str] = METHODS


QUICK = Extent(objects=30, benign=10, seeds=1, prompts=14, harmless=14, pairs=15, places=1, real=30, scenes=0, methods=("off", "max"))


def measure(work: Path, extent: Extent, *, judge_minutes: float = 5, processes: int = 2, i2p: Path | None = None) -> dict[str, Result]:
    """Every figure of the card. Delete ``WORK/measure`` to measure again, for new weights. Real prompts only with ``i2p``, their file."""
    model, pipe, kept = the_judge(work, judge_minutes, processes), load("embedded"), partial(_kept, work)
    shop, methods = Workshop(work), extent.methods
    texts = [p.text for p in embedded_i2p()][: extent.prompts]
    with workers(processes) as pool:
        results: dict[str, Any] = {
            "judge": kept("judge", lambda: measure_judge(model, work, 2000)),
            "vae": kept("vae", lambda: measure_vae(pipe, work, 100)),
            "clip": kept("clip", lambda: measure_clip(work)),
        }
        if (work / POOL).exists():
            results["words"] = kept("words", lambda: measure_words(pipe, read(work / POOL)))
        if extent.harmless:
            results["embedded-benign"] = measure_harmless(kept, pool, model, shop, methods, extent.harmless)
        results["objects"] = kept(f"objects-{extent.objects}", lambda: measure_objects(pool, model, work, extent.objects))
        results["implicit"] = measure_methods(kept, pool, model, "implicit", IMPLICIT, methods, extent.seeds)
        results["implicit prompts"] = len(IMPLICIT)
        results["explicit"] = measure_methods(kept, pool, model, "explicit", EXPLICIT, methods, 1)
        results["explicit prompts"] = len(EXPLICIT)
        results["benign"] = measure_benign(kept, pool, model, methods, extent.benign)
        if i2p is not None and extent.real:
            results["i2p"] = kept(f"i2p-{extent.real}", lambda: measure_i2p(pool, model, held_out_i2p(i2p, extent.real)))
        if extent.places:
            results["places"] = kept(f"places-{extent.places}", lambda: measure_places(pool, model, extent.places))
        if extent.pairs:
            results["pairs"] = kept(f"pairs-{extent.pairs}", lambda: measure_pairs(pool, model, extent.pairs))
            results["backgrounds"] = kept(f"backgrounds-{extent.pairs}", lambda: measure_backgrounds(pool, extent.pairs))
        if extent.scenes:
            compared = ("off", "medium", "max")
            results["frechet"] = kept(f"frechet-{extent.scenes}", lambda: measure_frechet(pool, shop, compared, extent.scenes))
        if texts:
            results["embedded-i2p"] = measure_methods(kept, pool, model, "embedded-i2p", texts, methods, 1)
            results["embedded-i2p prompts"] = len(texts)
    results["speed"] = kept("speed", measure_speed)  # last, when nothing else runs
    for name, result in results.items():
        print(f"{name}: {json.dumps(result)}", flush=True)
    write_card(card_lines(results))
    Image.open(work / "measure/contact.png").save(CARD.with_name("contact.png"), optimize=True)
    return results
