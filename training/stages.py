"""The stages, from nothing to the weights; each continues where it was stopped."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from training import glyphs as drawings
from training.fetch import fetch, fetch_sentence_encoder
from training.generator import GeneratorStage
from training.loop import Budget, load_average, train
from training.package import package
from training.texts import POOL, make_texts, read
from training.tokenizer import train_tokenizer
from training.tower import TowerStage, new_text_encoder
from training.vae import VaeStage, fold_normalisation, new_vae

STYLE = "fluent"  # what the generator draws; the autoencoder learns all three
STAGES = ("fetch", "tokenizer", "texts", "tower", "vae", "generator", "package")


def _vae_stage(work: Path) -> VaeStage:
    return VaeStage(drawings.glyphs(work / "node_modules", work / "glyphs.npy"))


def _tower_stage(work: Path, start: Path | None) -> TowerStage:
    return TowerStage(CLIPTokenizer.from_pretrained(work / "model/tokenizer"), read(work / POOL), start)


def _generator_stage(work: Path, start: Path | None, keep_text: bool) -> GeneratorStage:
    style = drawings.glyphs(work / "node_modules", work / "glyphs.npy")[STYLE]
    vae = AutoencoderTiny.from_pretrained(work / "model/vae")
    tokenizer = CLIPTokenizer.from_pretrained(work / "model/tokenizer")
    if start is not None and keep_text:
        text_encoder = CLIPTextModel.from_pretrained(start / "text_encoder", dtype=torch.float32)
    else:
        text_encoder = new_text_encoder(tokenizer)
        load_average(nn.ModuleDict({"text_encoder": text_encoder}), work / "tower/checkpoint.safetensors")
    return GeneratorStage(style, vae, tokenizer, text_encoder, read(work / POOL), start, keep_text=keep_text)


def _finish_vae(work: Path) -> None:
    vae = new_vae()
    load_average(vae, work / "vae/checkpoint.safetensors")
    with torch.no_grad():
        fold_normalisation(vae, _vae_stage(work).batch(np.random.default_rng(2), 512))
    vae.save_pretrained(work / "model/vae")


def _copy_parts(start: Path, work: Path) -> None:
    """Tokenizer and autoencoder of a finished model: the generator goes on in the words and latents that it knows."""
    for part in ("tokenizer", "vae"):
        if not (work / "model" / part).exists():
            shutil.copytree(start / part, work / "model" / part)


def run(
    stages: tuple[str, ...],
    work: Path,
    budgets: dict[str, Budget],
    start: Path | None = None,
    files: Sequence[Path] = (),
    *,
    keep_text: bool = False,
) -> None:
    """Run ``stages`` in their order below ``work``. Each continues where it was stopped. ``files`` hold texts beyond WordNet's.

    With ``start``, a pipeline folder, text encoder and UNet train on from its weights, and tokenizer and autoencoder are taken from it; the
    UNet alone with ``keep_text``.
    """
    if start is not None:
        _copy_parts(start, work)
    if "fetch" in stages:
        fetch(work)
        drawings.glyphs(work / "node_modules", work / "glyphs.npy")
    if "tokenizer" in stages and not (work / "model/tokenizer/tokenizer.json").exists():
        train_tokenizer(work / "node_modules", work / "model/tokenizer")
    if "texts" in stages and not (work / POOL).exists():
        make_texts(work, files, fetch_sentence_encoder(work))
    if "tower" in stages and not keep_text:
        train(partial(_tower_stage, work, start), work / "tower", budgets["tower"])
    if "vae" in stages and start is None:
        train(partial(_vae_stage, work), work / "vae", budgets["vae"])
        _finish_vae(work)
    if "generator" in stages:
        train(partial(_generator_stage, work, start, keep_text), work / "generator", budgets["generator"])
    if "package" in stages:
        package(work)
