"""Tiny randomly initialised modular pipelines, made from configs: one of each family that the guard
knows, no download.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLModel,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from tests import tiny

logging.getLogger("diffusers").setLevel(
    logging.ERROR
)  # modular pipelines and guiders warn, at each use, that they are young

_QWEN = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
_VISION = {
    "depth": 1,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_heads": 2,
    "out_hidden_size": 16,
}
_ROPE = {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"}
_TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


@cache
def byte_tokenizer() -> Qwen2Tokenizer:
    """Every byte is a token."""
    from tokenizers.pre_tokenizers import ByteLevel

    vocab = {piece: n for n, piece in enumerate(["<pad>", "<end>", *sorted(ByteLevel.alphabet())])}
    tokenizer = Qwen2Tokenizer(
        vocab=vocab, merges=[], unk_token="<end>", eos_token="<end>", pad_token="<pad>"
    )
    tokenizer.chat_template = _TEMPLATE
    tokenizer.padding_side = "right"
    return tokenizer


def sizes() -> dict[str, int]:
    return {
        "vocab_size": len(byte_tokenizer()),
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 1,
    }


def clip(hidden: int, kind: type = CLIPTextModelWithProjection) -> Any:
    return tiny.clip_text(kind, hidden_size=hidden, intermediate_size=32, projection_dim=hidden)


def wan_vae(kind: str) -> Any:
    return getattr(diffusers, kind)(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )


def sdxl_parts() -> dict[str, Any]:
    return {
        "unet": tiny.unet(cross_attention_dim=48, **tiny.XL),
        "vae": tiny.vae(),
        "text_encoder": clip(16, CLIPTextModel),
        "text_encoder_2": clip(32),
        "tokenizer": tiny.tokenizer(),
        "tokenizer_2": tiny.tokenizer(),
        "scheduler": tiny.scheduler(),
    }


def sd3_parts() -> dict[str, Any]:
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=48,
        caption_projection_dim=16,
        pooled_projection_dim=48,
        out_channels=4,
    )
    return {
        "transformer": transformer,
        "vae": tiny.vae(shift_factor=0.1, scaling_factor=0.5),
        "text_encoder": clip(16),
        "text_encoder_2": clip(32),
        "tokenizer": tiny.tokenizer(),
        "tokenizer_2": tiny.tokenizer(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
    }


def qwen_parts() -> dict[str, Any]:
    transformer = diffusers.QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    text = _QWEN | sizes() | {"num_hidden_layers": 1, "rope_scaling": _ROPE}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=_VISION, hidden_size=16)
    return {
        "transformer": transformer,
        "vae": wan_vae("AutoencoderKLQwenImage"),
        "text_encoder": Qwen2_5_VLForConditionalGeneration(config),
        "tokenizer": byte_tokenizer(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


def z_image_parts() -> dict[str, Any]:
    transformer = diffusers.ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[512, 32, 32],
    )
    with torch.no_grad():  # made by torch.empty
        transformer.x_pad_token.fill_(1.0)
        transformer.cap_pad_token.fill_(1.0)
    return {
        "transformer": transformer,
        "vae": tiny.vae(shift_factor=0.1, scaling_factor=0.5),
        "text_encoder": Qwen3Model(Qwen3Config(**_QWEN, **sizes(), num_hidden_layers=2)),
        "tokenizer": byte_tokenizer(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
        "guider": diffusers.ClassifierFreeGuidance(guidance_scale=5.0),
    }


def wan_parts() -> dict[str, Any]:
    return {
        "transformer": wan_transformer(),
        "vae": wan_vae("AutoencoderKLWan"),
        "text_encoder": UMT5EncoderModel(
            UMT5Config(**sizes(), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        ),
        "tokenizer": byte_tokenizer(),
        "scheduler": UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    }


def wan_transformer() -> Any:
    return diffusers.WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=16,
        freq_dim=16,
        ffn_dim=16,
        num_layers=1,
        rope_max_seq_len=32,
    )


def wan22_parts() -> dict[str, Any]:
    return wan_parts() | {"transformer_2": wan_transformer()}


def klein_parts() -> dict[str, Any]:
    transformer = diffusers.Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    return {
        "transformer": transformer,
        "vae": flux2_vae(),
        "text_encoder": Qwen3ForCausalLM(Qwen3Config(**_QWEN, **sizes(), num_hidden_layers=2)),
        "tokenizer": byte_tokenizer(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


def flux2_vae() -> Any:
    return diffusers.AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        block_out_channels=(4,),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def krea2_parts() -> dict[str, Any]:
    transformer = diffusers.Krea2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32,
        timestep_embed_dim=8,
        text_hidden_dim=16,
        num_text_layers=3,
        text_num_attention_heads=2,
        text_num_key_value_heads=1,
        text_intermediate_size=16,
        num_layerwise_text_blocks=1,
        num_refiner_text_blocks=1,
        axes_dims_rope=(4, 2, 2),
    )
    return {
        "transformer": transformer,
        "vae": wan_vae("AutoencoderKLQwenImage"),
        "text_encoder": Qwen3VLModel(qwen3_vl(2)),
        "tokenizer": byte_tokenizer(),
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    }


def qwen3_vl(layers: int) -> Qwen3VLConfig:
    text = (
        _QWEN
        | sizes()
        | {
            "num_hidden_layers": layers,
            "rope_scaling": {"mrope_section": [2, 1, 1], "rope_type": "default"},
        }
    )
    return Qwen3VLConfig(
        text_config=text, vision_config=_VISION | {"deepstack_visual_indexes": [0]}
    )


def hunyuan_parts() -> dict[str, Any]:
    transformer = diffusers.HunyuanVideo15Transformer3DModel(
        in_channels=9,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        text_embed_dim=16,
        text_embed_2_dim=16,
        image_embed_dim=12,
        rope_axes_dim=(2, 2, 4),
        target_size=16,
        task_type="t2v",
    )
    vae = diffusers.AutoencoderKLHunyuanVideo15(
        latent_channels=4,
        block_out_channels=(16, 16),
        layers_per_block=1,
        spatial_compression_ratio=4,
        temporal_compression_ratio=2,
        downsample_match_channel=False,
        upsample_match_channel=False,
    )
    from transformers import ByT5Tokenizer

    return {
        "transformer": transformer,
        "vae": vae,
        "text_encoder": Qwen2_5_VLTextModel(
            Qwen2_5_VLTextConfig(**_QWEN, **sizes(), num_hidden_layers=3, rope_scaling=_ROPE)
        ),
        "text_encoder_2": T5EncoderModel(
            T5Config(vocab_size=400, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        ),
        "tokenizer": byte_tokenizer(),
        "tokenizer_2": ByT5Tokenizer(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
    }


class Processor:
    """What Flux.3 asks of Qwen's processor."""

    tokenizer = byte_tokenizer()

    def apply_chat_template(self, messages: Any, **options: Any) -> Any:
        return self.tokenizer.apply_chat_template(messages, **options)


def flux3_parts() -> dict[str, Any]:
    transformer = diffusers.Flux3Transformer2DModel(
        in_channels=16,
        cond_in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16 * 2,
        axes_dims_rope=(4, 4, 4, 4),
    )
    return {
        "transformer": transformer,
        "vae": flux2_vae(),
        "text_encoder": Qwen3VLForConditionalGeneration(qwen3_vl(2)),
        "tokenizer": Processor(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


ALL: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "sdxl": ("StableDiffusionXLAutoBlocks", sdxl_parts),
    "sd3": ("StableDiffusion3AutoBlocks", sd3_parts),
    "qwen": ("QwenImageAutoBlocks", qwen_parts),
    "z-image": ("ZImageAutoBlocks", z_image_parts),
    "wan": ("WanBlocks", wan_parts),
    "wan22": ("Wan22Blocks", wan22_parts),
    "klein": ("Flux2KleinBaseAutoBlocks", klein_parts),
    "krea2": ("Krea2AutoBlocks", krea2_parts),
    "hunyuan": ("HunyuanVideo15AutoBlocks", hunyuan_parts),
    "flux3": ("Flux3AutoBlocks", flux3_parts),
}
PARTS = {
    family: found for family, found in ALL.items() if hasattr(diffusers, found[0])
}  # older releases have fewer
SIZE = {"height": 16, "width": 16}
CALL: dict[str, dict[str, Any]] = {
    "sdxl": SIZE,
    "sd3": SIZE | {"negative_prompt": ""},
    "wan": SIZE | {"num_frames": 5, "max_sequence_length": 64},
    "wan22": SIZE | {"num_frames": 5, "max_sequence_length": 64},
    "klein": SIZE | {"max_sequence_length": 64, "text_encoder_out_layers": (1,)},
    "hunyuan": SIZE | {"num_frames": 5},
    "flux3": SIZE | {"text_encoder_out_layers": (1, 2)},
    "krea2": SIZE | {"max_sequence_length": 64},
}


@contextmanager
def short_texts() -> Iterator[None]:
    """Without what makes text encoders slow, or asks for a package: long instructions around the
    prompt, many layers.
    """
    with pytest.MonkeyPatch.context() as patch:
        for where, name, value in _shorter():
            patch.setattr(where, name, value, raising=False)
        yield


def _shorter() -> list[tuple[Any, str, Any]]:
    """Object, name and value."""
    from diffusers.modular_pipelines.wan import encoders as wan

    changes: list[tuple[Any, str, Any]] = [
        (wan, "ftfy", SimpleNamespace(fix_text=str))
    ]  # mends broken text, of which the tests have none
    if "krea2" not in PARTS:
        return changes
    from diffusers.modular_pipelines.krea2 import encoders as krea2

    hunyuan = diffusers.HunyuanVideo15ModularPipeline
    return [
        *changes,
        (krea2, "KREA2_TEXT_ENCODER_SELECT_LAYERS", (0, 1, 2)),
        (krea2, "_PROMPT_TEMPLATE_ENCODE_PREFIX", "Describe: "),
        (krea2, "_PROMPT_TEMPLATE_ENCODE_START_IDX", 10),
        (hunyuan, "tokenizer_max_length", 64),
        (hunyuan, "tokenizer_2_max_length", 32),
        (hunyuan, "vision_num_semantic_tokens", 9),
        (hunyuan, "system_message", "Describe"),
        (hunyuan, "prompt_template_encode_start_idx", 10),
    ]


def present(*families: str) -> list[str]:
    """Those that this release of diffusers has."""
    return [family for family in families if family in PARTS]


def pipeline(family: str, **components: Any) -> Any:
    """A tiny modular pipeline, the same weights at every call."""
    torch.manual_seed(0)
    name, parts = PARTS[family]
    return loaded(name, parts() | components)


def loaded(name: str, components: dict[str, Any]) -> Any:
    """The pipeline of the blocks of that name in diffusers, with these components."""
    blocks = getattr(diffusers, name)()
    blocks.sub_blocks.pop("prompt_upsampler", None)  # the model that rewrites Flux.3's prompts
    pipe = blocks.init_pipeline()
    pipe.update_components(
        **{
            name: part.eval() if isinstance(part, torch.nn.Module) else part
            for name, part in components.items()
        }
    )
    return pipe


def z_image_as_shipped() -> Any:
    """Its guider is disabled."""
    torch.manual_seed(0)
    return loaded(
        "ZImageAutoBlocks",
        {name: part for name, part in z_image_parts().items() if name != "guider"},
    )
