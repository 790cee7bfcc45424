"""From a checkpoint to the pipeline folder that the package ships: diffusers' layout, safetensors, half precision on disk."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline
from torch import nn
from transformers import CLIPTokenizer

from training.generator import new_scheduler, new_unet
from training.loop import load_average
from training.tower import new_text_encoder

PACKAGED = Path(__file__).parents[1] / "src/safelatent/models/embedded"


def assemble(work: Path) -> StableDiffusionPipeline:
    """The trained parts (averaged weights) as a pipeline."""
    tokenizer = CLIPTokenizer.from_pretrained(work / "model/tokenizer")
    text_encoder, unet = new_text_encoder(tokenizer), new_unet()
    load_average(nn.ModuleDict({"text_encoder": text_encoder, "unet": unet}), work / "generator/checkpoint.safetensors")
    return StableDiffusionPipeline(
        vae=AutoencoderTiny.from_pretrained(work / "model/vae"),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def package(work: Path, target: Path | None = None) -> Path:
    """Write the pipeline to ``target`` (default: the package's own folder) and return it."""
    target = target or PACKAGED
    assemble(work).to(torch.float16).save_pretrained(target, safe_serialization=True)
    file = target / "vae/config.json"
    config = json.loads(file.read_text())
    del config["_name_or_path"]  # a folder of the machine it was trained on
    file.write_text(json.dumps(config, indent=2) + "\n")
    return target
