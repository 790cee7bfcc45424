"""Pipelines with random weights, of the sizes of Stable Diffusion 1.5, SDXL and SD3 medium.

Speed and memory do not depend on what the weights say. The text encoders have their real widths and
one layer each: they are no part of what is timed. Knows sizes; does not know what is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from safelatent.models import EMBEDDED

SMALL_WIDTH = 64  # of the text encoders of small models


def _text(kind: Any, width: int, tokenizer: CLIPTokenizer) -> Any:
    ends: dict[str, Any] = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width,
        projection_dim=width,
        num_hidden_layers=1,
        num_attention_heads=max(1, width // 64),
        **ends,
    )
    return kind(config)


def _tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(EMBEDDED / "tokenizer")


def _vae(channels: int) -> AutoencoderKL:
    """Scales by 8 as the real ones do, at next to no cost."""
    levels: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (8,) * 4,
    }
    return AutoencoderKL(norm_num_groups=1, latent_channels=channels, shift_factor=0.0, **levels)


def _ddim() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
    )


def sd15_unet(small: bool) -> UNet2DConditionModel:
    """Of Stable Diffusion 1.5: 860 million parameters, or a handful."""
    return UNet2DConditionModel(
        sample_size=8 if small else 64,
        block_out_channels=(32, 32, 32, 32) if small else (320, 640, 1280, 1280),
        cross_attention_dim=SMALL_WIDTH if small else 768,
        attention_head_dim=8,
        norm_num_groups=8 if small else 32,
    )


def sdxl_unet(small: bool) -> UNet2DConditionModel:
    """Of SDXL's base: 2.6 billion parameters, or a handful."""
    sizes = 8 if small else 256  # what the picture's size and crop are embedded to
    layers: dict[str, Any] = {
        "transformer_layers_per_block": (1, 1, 1) if small else (1, 2, 10),
        "attention_head_dim": (4, 4, 4) if small else (5, 10, 20),
    }
    return UNet2DConditionModel(
        sample_size=8 if small else 128,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 32, 32) if small else (320, 640, 1280),
        norm_num_groups=8 if small else 32,
        cross_attention_dim=sum(_widths(small)),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=sizes,
        projection_class_embeddings_input_dim=_widths(small)[1] + 6 * sizes,
        **layers,
    )


def sd3_transformer(small: bool, layers: int = 24) -> SD3Transformer2DModel:
    """Of SD3 medium's size: 2 billion parameters, fewer with fewer ``layers``, or a handful."""
    return SD3Transformer2DModel(
        sample_size=8 if small else 128,
        patch_size=2,
        in_channels=16,
        num_layers=1 if small else layers,
        attention_head_dim=16 if small else 64,
        num_attention_heads=2 if small else 24,
        joint_attention_dim=128 if small else 4096,
        caption_projection_dim=32 if small else 1536,
        pooled_projection_dim=sum(_widths(small)),
        out_channels=16,
        pos_embed_max_size=16 if small else 192,
    )


def _widths(small: bool) -> tuple[int, int]:
    """Of the two text encoders of SDXL and SD3."""
    return (SMALL_WIDTH, SMALL_WIDTH) if small else (768, 1280)


def _sd15(unet: Any) -> StableDiffusionPipeline:
    tokenizer = _tokenizer()
    parts: dict[str, Any] = {
        "vae": _vae(4),
        "text_encoder": _text(CLIPTextModel, unet.config.cross_attention_dim, tokenizer),
        "tokenizer": tokenizer,
        "unet": unet,
        "scheduler": _ddim(),
        "safety_checker": None,
        "feature_extractor": None,
    }
    return StableDiffusionPipeline(requires_safety_checker=False, **parts)


def _sdxl(unet: Any) -> StableDiffusionXLPipeline:
    tokenizer, (first, second) = _tokenizer(), _widths(unet.config.sample_size == 8)
    parts: dict[str, Any] = {
        "vae": _vae(4),
        "text_encoder": _text(CLIPTextModel, first, tokenizer),
        "text_encoder_2": _text(CLIPTextModelWithProjection, second, tokenizer),
        "tokenizer": tokenizer,
        "tokenizer_2": tokenizer,
        "unet": unet,
        "scheduler": _ddim(),
    }
    return StableDiffusionXLPipeline(add_watermarker=False, **parts)


def _sd3(transformer: Any) -> StableDiffusion3Pipeline:
    """Without its T5, as it may be used."""
    tokenizer, (first, second) = _tokenizer(), _widths(transformer.config.sample_size == 8)
    parts: dict[str, Any] = {
        "transformer": transformer,
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
        "vae": _vae(16),
        "text_encoder": _text(CLIPTextModelWithProjection, first, tokenizer),
        "tokenizer": tokenizer,
        "text_encoder_2": _text(CLIPTextModelWithProjection, second, tokenizer),
        "tokenizer_2": tokenizer,
        "text_encoder_3": None,
        "tokenizer_3": None,
    }
    return StableDiffusion3Pipeline(**parts)


# How to make the denoiser and the pipeline around it, and the side of its pictures in pixels.
MODELS: dict[str, tuple[Callable[..., Any], Callable[[Any], Any], int]] = {
    "SD 1.5": (sd15_unet, _sd15, 512),
    "SDXL": (sdxl_unet, _sdxl, 1024),
    "SD3 medium": (sd3_transformer, _sd3, 1024),
}


def denoiser(name: str, device: str, *, small: bool = False, **size: int) -> Any:
    """The denoiser of this name with random weights, made on ``device``; their seed is 0."""
    torch.manual_seed(0)
    with torch.device(device):
        return MODELS[name][0](small, **size)


def made(name: str, device: str, dtype: torch.dtype, *, small: bool = False, **size: int) -> Any:
    """The pipeline of this name, silent, on ``device`` in ``dtype``.

    Args:
        size: what the denoiser has else than the real one: ``layers`` of SD3.
    """
    pipe = MODELS[name][1](denoiser(name, device, small=small, **size)).to(device, dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe
