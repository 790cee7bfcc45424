"""Tiny randomly initialised pipelines, made from configs: every mechanism of the real ones, no
download, milliseconds a step.
"""

from __future__ import annotations

import warnings
from copy import deepcopy
from functools import cache
from re import findall
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from safelatent.concepts import DEFAULT_CONCEPT

WORDS = [
    *[
        "a",
        "an",
        "the",
        "cat",
        "dog",
        "night",
        "party",
        "pistol",
        "pirate",
        "with",
        "at",
        "on",
        "of",
        "image",
        "showing",
    ],
    *dict.fromkeys(findall(r"\w+", str(DEFAULT_CONCEPT))),
]


def tokenizer() -> CLIPTokenizer:
    """Byte-level, with the words of ``WORDS`` (and every single byte) as tokens.

    Each is its own, since pipelines add tokens to theirs.
    """
    return deepcopy(_tokenizer())


@cache
def _tokenizer() -> CLIPTokenizer:
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    pieces = [
        "<|startoftext|>",
        "<|endoftext|>",
        *alphabet,
        *(f"{letter}</w>" for letter in alphabet),
    ]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        left = word[0]
        for letter in [*word[1:-1], f"{word[-1]}</w>"] if len(word) > 1 else []:
            if left + letter not in pieces:
                pieces.append(left + letter)
                merges.append((left, letter))
            left += letter
    vocab = {piece: n for n, piece in enumerate(pieces)}
    end = "<|endoftext|>"
    return CLIPTokenizer(
        vocab=vocab,
        merges=merges,
        unk_token=end,
        bos_token="<|startoftext|>",
        eos_token=end,
        pad_token=end,
        model_max_length=77,
    )


def scheduler(**changes: Any) -> DDIMScheduler:
    """Stable Diffusion's noise schedule."""
    settings = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "set_alpha_to_one": False,
    }
    return DDIMScheduler(**(settings | {"steps_offset": 1} | changes))


# What a UNet of Stable Diffusion XL has beside one of 1.x.
XL = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 32,
}


def unet(**changes: Any) -> UNet2DConditionModel:
    """A tiny UNet of one level, with ``changes`` of its configuration: to the guard, levels are the
    same. The text enters once, before the middle block.
    """
    settings = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("CrossAttnDownBlock2D",),
        "mid_block_type": "UNetMidBlock2D",
        "up_block_types": ("UpBlock2D",),
        "block_out_channels": (16,),
        "layers_per_block": 1,
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**(settings | changes))


def clip_text(kind: type = CLIPTextModel, **changes: Any) -> Any:
    """A tiny text encoder of class ``kind``, with ``changes`` of its configuration."""
    settings = {
        "vocab_size": len(tokenizer()),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 77,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    return kind(CLIPTextConfig(**(settings | changes)))


def vae(channels: int = 4, **changes: Any) -> AutoencoderKL:
    """A tiny autoencoder that leaves the size as it is, with ``changes`` of its configuration."""
    return AutoencoderKL(
        block_out_channels=(16,), norm_num_groups=8, latent_channels=channels, **changes
    ).eval()


def parts(in_channels: int = 4, **of_unet: Any) -> dict[str, Any]:
    """The components of a tiny Stable Diffusion pipeline, the same weights at every call."""
    torch.manual_seed(0)
    model = unet(in_channels=in_channels, **of_unet)
    return {
        "vae": vae(),
        "text_encoder": clip_text().eval(),
        "tokenizer": tokenizer(),
        "unet": model.eval(),
        "scheduler": scheduler(),
        "safety_checker": None,
        "feature_extractor": None,
    }


def quiet(pipe: Any) -> Any:
    """Without progress bars."""
    pipe.set_progress_bar_config(disable=True)
    return pipe


def pipeline(
    kind: type = StableDiffusionPipeline, *, in_channels: int = 4, **components: Any
) -> Any:
    """A tiny pipeline of class ``kind``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quiet(kind(**(parts(in_channels) | components), requires_safety_checker=False))
