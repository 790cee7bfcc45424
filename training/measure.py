"""The card's figures: made by one command, kept part by part so that it can be stopped, and written
into the card from what it printed.

Everything is judged by a classifier that was trained on real scenes only (``training.judge``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from safelatent import load
from safelatent.detectors.pixel_judge import WEIGHTS, WITNESS, load_judge
from safelatent.errors import BadValueError
from safelatent.models import model_digest
from safelatent.models.clip_model import CLIP
from safelatent.models.load import EMBEDDED
from safelatent.prompts import embedded_benign, embedded_i2p
from training.card import write_card
from training.card_figures import card_lines
from training.clip_detectors import Workshop
from training.contact import NAMED, SINGLE, contact_sheet
from training.drawing import METHODS, workers
from training.glyphs import Glyphs, paint
from training.held_out_words import read_words
from training.judge import JudgeNet
from training.measure_clip import measure_clip
from training.measure_judge import measure_judge
from training.measure_methods import measure_benign, measure_methods
from training.measure_named import (
    FEW_BY_LEVEL,
    FEW_STEPS,
    measure_alone,
    measure_named,
    measure_own_concept,
)
from training.measure_speed import measure_speed
from training.measure_world import (
    measure_backgrounds,
    measure_i2p,
    measure_objects,
    measure_pairs,
    measure_places,
    measure_words,
)
from training.parts import Parts, Result
from training.probes import EXPLICIT, IMPLICIT
from training.scenes import SIZE, random_scene
from training.vae import psnr, reconstructed
from training.world_moments import measure_frechet


@torch.no_grad()
def measure_vae(pipe: Any, drawings: Glyphs, count: int) -> Result:
    """Reconstruction of ``count`` fresh scenes."""
    rng = np.random.default_rng(12)
    parts = paint([random_scene(rng) for _ in range(count)], drawings).split(10)
    found = [psnr(reconstructed(pipe.vae, x), x) for x in parts]
    return {"reconstruction": float(np.mean(found))}


def _weights() -> str:
    """The beginning of the digest of all weights that are measured."""
    return hashlib.sha256(
        "".join(model_digest(folder) for folder in (EMBEDDED, CLIP, WEIGHTS.parent)).encode()
    ).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is measured: pictures a call for the speed, labelled scenes, prompts, images and
    seeds.

    What is 0 is left out, and missing from the card.
    """

    batches: Sequence[int] = (1, 8, 32)
    labelled: int = 5000
    objects: int = 1000
    contact: tuple[int, int] = (SINGLE, NAMED)
    probes: int = 60
    benign: int = 30
    named: int = 1000
    alone: int = 72
    few: int = 1000
    own: int = 100
    prompts: int = 700
    seeds: int = 4
    harmless: int = 700
    pairs: int = 1000
    places: int = 12
    real: int = 500
    scenes: int = 60
    methods: Sequence[str] = METHODS


CONTACT = Path(__file__).parents[1] / "docs/contact.png"  # which the card shows
QUICK = Extent(
    batches=(1, 8),
    labelled=1000,
    objects=30,
    contact=(8, 6),
    probes=10,
    benign=10,
    named=14,
    alone=7,
    few=7,
    own=4,
    prompts=14,
    seeds=1,
    harmless=14,
    pairs=15,
    places=1,
    real=15,
    scenes=0,
    methods=("off", "max"),
)


def check_world(model: Path) -> None:
    """Refuse to measure a model of another world: its pictures would be judged by scenes that it
    has never seen.

    Raises:
        BadValueError: the model draws pictures of another size than the scenes have.
    """
    unet = json.loads((model / "unet/config.json").read_text(encoding="utf-8"))
    vae = json.loads((model / "vae/config.json").read_text(encoding="utf-8"))
    scaled = vae.get("block_out_channels") or vae["decoder_block_out_channels"]
    size = unet["sample_size"] * 2 ** (len(scaled) - 1)
    if size != SIZE:
        raise BadValueError(
            f"the weights in the package draw {size} x {size} pixels and training/ makes scenes of"
            f" {SIZE} x {SIZE}: they are of an earlier world, and the card's figures are theirs;"
            " train first, or measure at the commit that the card names"
        )


def _undrawn(kept: Parts, work: Path, extent: Extent, shop: Workshop) -> dict[str, Result]:
    """What is measured without drawing a picture; times first, while nothing else runs."""
    pipe, size = load("embedded"), extent.labelled
    return {
        "speed": kept(f"speed-{max(extent.batches)}", lambda: measure_speed(extent.batches)),
        "judge": kept("judge", lambda: measure_judge(load_judge()[0], shop.drawings, 2000)),
        "witness": kept(
            "witness", lambda: measure_judge(load_judge(WITNESS)[0], shop.drawings, 2000)
        ),
        "vae": kept("vae", lambda: measure_vae(pipe, shop.drawings, 100)),
        "clip": kept(f"clip-{size}", lambda: measure_clip(work, count=size, sets=size // 625)),
        "words": kept("words", lambda: measure_words(pipe, read_words())),
    }


def _guarded(kept: Parts, pool: Executor, model: JudgeNet, extent: Extent) -> dict[str, Result]:
    """The share of unsafe pictures by method, on small sets of prompts."""
    methods = extent.methods
    probes = {"implicit": IMPLICIT, "explicit": EXPLICIT}
    results = {
        name: measure_methods(kept, pool, model, name, prompts[: extent.probes], methods)
        for name, prompts in probes.items()
    }
    if extent.named:
        results["named"] = measure_named(kept, pool, model, methods, extent.named)
        results["alone"] = measure_alone(kept, pool, model, methods, extent.alone)
    if extent.few:
        results |= _in_few_steps(kept, pool, model, extent)
    return results | {"benign": measure_benign(kept, pool, model, methods, extent.benign)}


def _in_few_steps(
    kept: Parts, pool: Executor, model: JudgeNet, extent: Extent
) -> dict[str, Result]:
    """What is drawn, and what guidance takes away, at 20 steps of DPM++ 2M."""
    chosen = [method for method in extent.methods if method in ("off", "strong", "max")]
    count, alone = extent.few, min(extent.few, extent.alone)
    return {
        "objects, few steps": kept(
            f"objects-{count}-few", lambda: measure_objects(pool, model, count, FEW_STEPS)
        ),
        "named, few steps": measure_named(kept, pool, model, chosen, count, FEW_STEPS),
        "alone, few steps": measure_alone(kept, pool, model, chosen, alone, FEW_STEPS),
        "named, by noise level": measure_named(kept, pool, model, chosen, count, FEW_BY_LEVEL),
        "alone, by noise level": measure_alone(kept, pool, model, chosen, alone, FEW_BY_LEVEL),
    }


def _of_the_world(
    kept: Parts, pool: Executor, model: JudgeNet, extent: Extent, shop: Workshop
) -> dict[str, Result]:
    """How well the world is drawn: things, places, pairs, backgrounds, the whole."""
    compared = ("off", "medium", "max")
    wanted: dict[str, tuple[int, Callable[[], Result]]] = {
        "objects": (extent.objects, lambda: measure_objects(pool, model, extent.objects)),
        "places": (extent.places, lambda: measure_places(pool, model, extent.places)),
        "pairs": (extent.pairs, lambda: measure_pairs(pool, model, extent.pairs)),
        "own concept": (extent.own, lambda: measure_own_concept(pool, model, extent.own)),
        "backgrounds": (extent.pairs, lambda: measure_backgrounds(pool, extent.pairs)),
        "frechet": (extent.scenes, lambda: measure_frechet(pool, shop, compared, extent.scenes)),
    }
    return {
        name: kept(f"{name}-{count}", compute) for name, (count, compute) in wanted.items() if count
    }


def _of_prompt_sets(
    kept: Parts, pool: Executor, model: JudgeNet, extent: Extent, shop: Workshop
) -> dict[str, Result]:
    """The package's sets of prompts by method, as far as there is time."""
    results: dict[str, Result] = {}
    if extent.prompts:
        texts = [p.text for p in embedded_i2p()][: extent.prompts]
        results["embedded-i2p"] = measure_methods(
            kept, pool, model, "embedded-i2p", texts, extent.methods, extent.seeds
        )
    if extent.harmless:
        texts = [p.text for p in embedded_benign()][: extent.harmless]
        results["embedded-benign"] = measure_methods(
            kept, pool, model, "embedded-benign", texts, extent.methods, clip=shop
        )
    return results


def measure(
    work: Path, extent: Extent, *, minutes: float = 85, processes: int = 2, i2p: Path | None = None
) -> dict[str, Result]:
    """Every figure of the card, of the weights in the package. Real prompts only with ``i2p``,
    their file.

    What is measured is kept below ``work``, for these weights. After ``minutes`` no further part of
    ``embedded-i2p`` and ``embedded-benign`` is started, and the card says how much it has: what is
    missing is made when the command is given again.
    """
    check_world(EMBEDDED)
    kept = Parts(work / "measure" / _weights(), minutes)
    contact = kept.folder / f"contact-{sum(extent.contact)}.png"
    model, shop = load_judge()[0], Workshop(work)
    results = _undrawn(kept, work, extent, shop)
    with workers(processes) as pool:
        results |= _of_the_world(kept, pool, model, extent, shop)
        if not contact.exists():
            contact_sheet(pool, *extent.contact).save(contact)
        results |= _guarded(kept, pool, model, extent)
        if i2p is not None and extent.real:
            real = f"i2p-{extent.real}"
            results["i2p"] = kept(real, lambda: measure_i2p(pool, model, i2p, extent.real))
        results |= _of_prompt_sets(kept, pool, model, extent, shop)
    for name, result in results.items():
        print(f"{name}: {json.dumps(result)}", flush=True)
    write_card("measured", card_lines(results))
    Image.open(contact).reduce(2).quantize(128).save(CONTACT, optimize=True)
    return results
