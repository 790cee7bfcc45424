"""From a checkpoint to the pipeline folder that the package ships: diffusers' layout, safetensors,
half precision on disk.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from training.encoder import fit_encoder
from training.generator import new_scheduler, new_unet
from training.glyphs import glyphs
from training.latents import latents
from training.loop import CHECKPOINT, load_average
from training.place_words import FILE, moves
from training.plurals import add_other_numbers
from training.tower import joined, new_text_encoder, parted
from training.vae import new_vae
from training.words import Words, row_of

PACKAGED = Path(__file__).parents[1] / "src/safelatent/models/embedded"


def text_encoder_of(work: Path, start: Path | None = None) -> CLIPTextModel:
    """The text encoder of a finished pipeline folder, or else the one trained below ``work``
    (averaged weights).

    Its last part, the outlook, is trained only where there are prompts of I2P.
    """
    if start is not None:
        return CLIPTextModel.from_pretrained(start / "text_encoder", dtype=torch.float32)
    text_encoder = new_text_encoder(CLIPTokenizer.from_pretrained(work / "model/tokenizer"))
    last = "outlook" if (work / "outlook" / CHECKPOINT).exists() else "tower"
    load_average(nn.ModuleDict({"text_encoder": text_encoder}), work / last / CHECKPOINT)
    return text_encoder


def whole_text_encoder(work: Path, start: Path | None = None) -> CLIPTextModel:
    """The same, with the words that learnt last, those of places, and the layer of concepts."""
    text_encoder = text_encoder_of(work, start)
    tokenizer = CLIPTokenizer.from_pretrained(work / "model/tokenizer")
    table: Any = text_encoder.get_input_embeddings()
    if (file := work / "words" / CHECKPOINT).exists():
        words = Words(tokenizer, table.weight)
        load_average(words, file)
        table.weight = nn.Parameter(words())
    if (file := work / "places" / FILE).exists():
        for place, change in moves(file).items():
            table.weight.data[row_of(tokenizer, place)] += change
    if (file := work / "concepts" / CHECKPOINT).exists():
        reader, layer = parted(text_encoder)
        load_average(layer, file)
        return joined(reader, layer)
    return text_encoder


def autoencoder(work: Path, start: Path | None = None) -> AutoencoderKL:
    """The trained decoder (averaged weights) below ``work``, and the encoder to its latents; both
    of ``start`` where the UNet trained on from there. The decoder's last part goes on from either.
    """
    vae = new_vae()
    if start is None:
        load_average(vae.decoder, work / "decoder" / CHECKPOINT)
        fit_encoder(vae, glyphs(work), latents(work))
    else:
        _load(vae, start / "vae")
    if (work / "finish" / CHECKPOINT).exists():
        load_average(vae.decoder, work / "finish" / CHECKPOINT)
    return vae


def unet_of(
    work: Path,
    start: Path | None = None,
    parts: Sequence[str] = ("ending", "locating", "guidance", "generator"),
    share: float = 1.0,
) -> UNet2DConditionModel:
    """The UNet (averaged weights) of the first of ``parts`` that was trained below ``work``, or
    else that of ``start``; with a ``share``, the weights so far on the way from the one of
    ``start`` to that. A mean keeps more of what either does than more training does (Wortsman et
    al., 2022, WiSE-FT).
    """
    trained = [work / part / CHECKPOINT for part in parts]
    last = next((file for file in trained if file.exists()), None)
    unet = new_unet()
    if last is None and start is not None:
        _load(unet, start / "unet")
        return unet
    load_average(nn.ModuleDict({"unet": unet}), last or trained[-1])
    if start is not None and share < 1:
        before = new_unet()
        _load(before, start / "unet")
        old, own = before.state_dict(), unet.state_dict()
        unet.load_state_dict({name: old[name].lerp(own[name], share) for name in own})
    return unet


def _load(module: Any, folder: Path) -> None:
    """Put a packaged part's weights into ``module``; diffusers would note the folder in what it
    saves of a part that it has loaded.
    """
    module.load_state_dict(type(module).from_pretrained(folder).state_dict())


def assemble(work: Path, start: Path | None = None, share: float = 1.0) -> StableDiffusionPipeline:
    """The trained parts (averaged weights) as a pipeline, with the text encoder of ``start`` if the
    UNet trained on from there, for a ``share`` of the way (``unet_of``).
    """
    tokenizer = CLIPTokenizer.from_pretrained(work / "model/tokenizer")
    text_encoder = whole_text_encoder(work, start)
    add_other_numbers(tokenizer, text_encoder)
    return StableDiffusionPipeline(
        vae=autoencoder(work, start),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet_of(work, start, share=share),
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def package(
    work: Path, target: Path | None = None, start: Path | None = None, share: float = 1.0
) -> Path:
    """Write the pipeline to ``target`` (default: the package's own folder) and return it."""
    target = target or PACKAGED
    assemble(work, start, share).to(torch.float16).save_pretrained(target, safe_serialization=True)
    return target
