"""The stages, from nothing to the weights; each continues where it was stopped."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from transformers import CLIPTokenizer

from safelatent.models.clip_model import CLIP
from training.clip import train_clip
from training.clip_detectors import Workshop, make_detectors
from training.fetch import fetch, fetch_sentence_encoder
from training.generator import GeneratorStage
from training.glyphs import Glyphs, glyphs
from training.guidance_scale import GuidanceScaleStage
from training.held_out_words import save_words
from training.judge import train_judge
from training.loop import CHECKPOINT, Budget, load_average, train
from training.outlook import OutlookStage
from training.package import package, text_encoder_of
from training.texts import POOL, TextPool, make_texts, read
from training.tokenizer import train_tokenizer
from training.tower import NamesStage, TowerStage
from training.vae import VaeStage, fold_normalisation, new_vae
from training.world_moments import make_scene_moments

STAGES = (
    "fetch",
    "tokenizer",
    "texts",
    "vae",
    "names",
    "tower",
    "outlook",
    "generator",
    "scale",
    "package",
    "clip",
    "judge",
)
GOING_ON = (
    "fetch",
    "texts",
    "generator",
    "scale",
    "package",
)  # from finished weights: the rest stays valid


def _vae_stage(work: Path) -> VaeStage:
    return VaeStage(glyphs(work))


def _parts(work: Path) -> tuple[CLIPTokenizer, TextPool, Glyphs, AutoencoderTiny]:
    tokenizer, vae = (
        CLIPTokenizer.from_pretrained(work / "model/tokenizer"),
        AutoencoderTiny.from_pretrained(work / "model/vae"),
    )
    return tokenizer, read(work / POOL), glyphs(work), vae


def _names_stage(work: Path) -> NamesStage:
    return NamesStage(*_parts(work))


def _tower_stage(work: Path) -> TowerStage:
    return TowerStage(*_parts(work), work / "names" / CHECKPOINT)


def _outlook_stage(work: Path) -> OutlookStage:
    return OutlookStage(*_parts(work), work / "tower" / CHECKPOINT)


def _generator_stage(work: Path, start: Path | None) -> GeneratorStage:
    tokenizer, pool, drawings, vae = _parts(work)
    return GeneratorStage(drawings, vae, tokenizer, text_encoder_of(work, start), pool, start)


def _scale_stage(work: Path, start: Path | None) -> GuidanceScaleStage:
    tokenizer, pool, drawings, vae = _parts(work)
    return GuidanceScaleStage(
        drawings,
        vae,
        tokenizer,
        text_encoder_of(work, start),
        pool,
        work / "generator" / CHECKPOINT,
    )


def _finish_vae(work: Path) -> None:
    vae = new_vae()
    load_average(vae, work / "vae" / CHECKPOINT)
    with torch.no_grad():
        fold_normalisation(vae, _vae_stage(work).batch(np.random.default_rng(2), 512))
    vae.save_pretrained(work / "model/vae")


def _copy_parts(start: Path, work: Path) -> None:
    """Tokenizer and autoencoder of a finished model: the UNet goes on in the words and latents that
    it knows.
    """
    for part in ("tokenizer", "vae"):
        if not (work / "model" / part).exists():
            shutil.copytree(start / part, work / "model" / part)


def _make_clip(work: Path, budget: Budget, start: Path | None) -> None:
    train_clip(work, budget, start=start)
    make_detectors(work)
    make_scene_moments(Workshop(work))


def run(
    stages: tuple[str, ...],
    work: Path,
    budgets: dict[str, Budget],
    start: Path | None = None,
    files: Sequence[Path] = (),
) -> None:
    """Run ``stages`` in their order below ``work``. Each continues where it was stopped. ``files``
    hold texts beyond WordNet's.

    The outlook is learnt where I2P's prompts are among them. With ``start``, a pipeline folder, the
    UNet trains on from its weights, and all else is taken from it: what was made beside its text
    encoder, the CLIP and the detectors, stays valid. The CLIP too goes on from the one that is
    there, for a text encoder that has changed.
    """
    if start is not None:
        _copy_parts(start, work)
    if "fetch" in stages:
        fetch(work)
        glyphs(work)
    if "tokenizer" in stages and not (work / "model/tokenizer/tokenizer.json").exists():
        train_tokenizer(work / "node_modules", work / "model/tokenizer")
    if "texts" in stages and not (work / POOL).exists():
        make_texts(work, files, fetch_sentence_encoder(work))
    if "vae" in stages and start is None:
        train(partial(_vae_stage, work), work / "vae", budgets["vae"])
        _finish_vae(work)
    if "names" in stages and start is None:
        train(partial(_names_stage, work), work / "names", budgets["names"])
    if "tower" in stages and start is None:
        train(partial(_tower_stage, work), work / "tower", budgets["tower"])
    if "outlook" in stages and start is None and "i2p" in read(work / POOL).captions:
        train(partial(_outlook_stage, work), work / "outlook", budgets["outlook"])
    if "generator" in stages:
        train(partial(_generator_stage, work, start), work / "generator", budgets["generator"])
    if "scale" in stages:
        train(partial(_scale_stage, work, start), work / "scale", budgets["scale"])
    if "package" in stages:
        package(work, start=start)
        if start is None:
            save_words(read(work / POOL).paraphrases)
    if "clip" in stages:
        _make_clip(work, budgets["clip"], CLIP if start else None)
    if "judge" in stages:
        train_judge(work, replace(budgets["judge"], seed=7))
