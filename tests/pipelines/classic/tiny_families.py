"""A tiny pipeline of every classic family, made from configs, with random weights: the mechanisms
of the real ones, no download.
"""

from __future__ import annotations

import warnings
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from tests import tiny


def _clip(kind: type, **changes: Any) -> Any:
    return tiny.clip_text(
        kind, **({"intermediate_size": 37, "projection_dim": 32} | changes)
    ).eval()


@cache
def words_tokenizer() -> PreTrainedTokenizerFast:
    """A word, a token: what a T5 or a Gemma is asked for, without their files."""
    words = ["<pad>", "</s>", "<unk>", "<bos>", ",", *tiny.WORDS]
    model = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>")
    )
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        bos_token="<bos>",
        model_max_length=300,
    )


def _t5() -> T5EncoderModel:
    size = {
        "vocab_size": len(words_tokenizer()),
        "d_model": 32,
        "d_ff": 37,
        "d_kv": 8,
        "num_layers": 2,
        "num_heads": 4,
    }
    return T5EncoderModel(T5Config(**size)).eval()


def _flow(**changes: Any) -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(**changes)


def xl_parts() -> dict[str, Any]:
    """Of Stable Diffusion XL."""
    return {
        "vae": tiny.vae(),
        "text_encoder": _clip(CLIPTextModel),
        "text_encoder_2": _clip(CLIPTextModelWithProjection, hidden_act="gelu"),
        "tokenizer": tiny.tokenizer(),
        "tokenizer_2": tiny.tokenizer(),
        "unet": tiny.unet(cross_attention_dim=64, use_linear_projection=True, **tiny.XL).eval(),
        "scheduler": tiny.scheduler(),
    }


def sd3_parts(channels: int = 4) -> dict[str, Any]:
    """Of Stable Diffusion 3, without its T5, as it may be used. Its inpainting insists on 16
    channels.
    """
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=channels,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        out_channels=channels,
        pos_embed_max_size=16,
    )
    return {
        "transformer": _lively(transformer),
        "scheduler": _flow(shift=3.0),
        "vae": tiny.vae(channels, shift_factor=0.06, scaling_factor=1.5),
        "text_encoder": _clip(CLIPTextModelWithProjection, hidden_size=16),
        "tokenizer": tiny.tokenizer(),
        "text_encoder_2": _clip(CLIPTextModelWithProjection, hidden_size=16),
        "tokenizer_2": tiny.tokenizer(),
        "text_encoder_3": None,
        "tokenizer_3": None,
    }


def flux_parts() -> dict[str, Any]:
    """Of Flux, undistilled."""
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
    )
    return {
        "transformer": _lively(transformer),
        "scheduler": _flow(),
        "vae": tiny.vae(1, shift_factor=0.06, scaling_factor=1.5),
        "text_encoder": _clip(CLIPTextModel),
        "tokenizer": tiny.tokenizer(),
        "text_encoder_2": _t5(),
        "tokenizer_2": words_tokenizer(),
    }


def pixart_parts() -> dict[str, Any]:
    """Of PixArt alpha: it predicts the noise and a variance that nobody uses."""
    transformer = PixArtTransformer2DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=24,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        use_additional_conditions=False,
    )
    return {
        "transformer": _lively(transformer),
        "vae": tiny.vae(),
        "text_encoder": _t5(),
        "tokenizer": words_tokenizer(),
        "scheduler": DPMSolverMultistepScheduler(),
    }


def sana_parts() -> dict[str, Any]:
    """Of Sana."""
    transformer = SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=4,
        cross_attention_dim=8,
        caption_channels=8,
        sample_size=32,
    )
    vae = AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=[1, 1],
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )
    gemma = Gemma2Config(
        vocab_size=len(words_tokenizer()),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    return {
        "transformer": _lively(transformer),
        "vae": vae.eval(),
        "text_encoder": Gemma2Model(gemma).eval(),
        "tokenizer": words_tokenizer(),
        "scheduler": _flow(shift=3.0),
    }


def _lively(transformer: Any) -> Any:
    """Layers that begin at zero would hide whatever meets them."""
    for parameter in transformer.parameters():
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return transformer.eval()


# Settings of a call that is as small as the pipelines allow.
CALLS: dict[str, dict[str, Any]] = {
    "sdxl": {"height": 8, "width": 8},
    "sd3": {"height": 8, "width": 8},
    "flux": {
        "height": 8,
        "width": 8,
        "negative_prompt": "",
        "true_cfg_scale": 4.0,
        "max_sequence_length": 64,
    },
    "pixart": {
        "height": 8,
        "width": 8,
        "use_resolution_binning": False,
        "clean_caption": False,
        "max_sequence_length": 64,
    },
    "sana": {
        "height": 32,
        "width": 32,
        "use_resolution_binning": False,
        "complex_human_instruction": None,
        "max_sequence_length": 64,
    },
}
KINDS = {
    "sdxl": (StableDiffusionXLPipeline, xl_parts),
    "sd3": (StableDiffusion3Pipeline, sd3_parts),
    "flux": (FluxPipeline, flux_parts),
    "pixart": (PixArtAlphaPipeline, pixart_parts),
    "sana": (SanaPipeline, sana_parts),
}


def pipeline(name: str) -> Any:
    """The tiny pipeline of a family, the same weights at every call, and a scheduler of its own."""
    kind, parts = KINDS[name][0], _parts(name)
    return build(kind, lambda: parts | {"scheduler": deepcopy(parts["scheduler"])})


@cache
def _parts(name: str) -> dict[str, Any]:
    torch.manual_seed(0)
    return KINDS[name][1]()


def build(kind: type, parts: Any, **changes: Any) -> Any:
    """A pipeline of class ``kind``."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tiny.quiet(kind(**(parts() | changes)))
