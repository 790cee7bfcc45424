"""Every hook of diffusers that a denoiser can have, as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers.hooks as hooks
import pytest
import torch

EVERYWHERE = (-1, 1001)
SPATIAL = {
    "spatial_attention_block_skip_range": 2,
    "spatial_attention_timestep_skip_range": EVERYWHERE,
    "current_timestep_callback": lambda: 500,
}


def _faster(is_guidance_distilled: bool) -> Callable[[Any], None]:
    config = SPATIAL | {
        "tensor_format": "BCHW",
        "unconditional_batch_skip_range": 2,
        "unconditional_batch_timestep_skip_range": EVERYWHERE,
        "is_guidance_distilled": is_guidance_distilled,
        "attention_weight_callback": lambda _: 0.5,
    }
    return lambda module: hooks.apply_faster_cache(module, hooks.FasterCacheConfig(**config))


def _broadcast(module: Any) -> None:
    config = SPATIAL | {
        "cross_attention_block_skip_range": 3,
        "cross_attention_timestep_skip_range": EVERYWHERE,
    }
    hooks.apply_pyramid_attention_broadcast(module, hooks.PyramidAttentionBroadcastConfig(**config))


def _blocks(module: Any) -> str:
    """The name of the module's list of transformer blocks."""
    lists = [name for name, one in module.named_children() if isinstance(one, torch.nn.ModuleList)]
    return next(name for name in lists if "block" in name)


def _skip(module: Any) -> None:
    config = hooks.LayerSkipConfig([0], fqn=_blocks(module), skip_attention=False)
    hooks.apply_layer_skip(module, config)


def _mag(module: Any) -> None:
    config = hooks.MagCacheConfig(
        threshold=1.0, num_inference_steps=8, retention_ratio=0.1, mag_ratios=torch.ones(8)
    )
    hooks.apply_mag_cache(module, config)


def _taylor(module: Any) -> None:
    config = hooks.TaylorSeerCacheConfig(
        cache_interval=2, disable_cache_before_step=1, taylor_factors_dtype=torch.float32
    )
    hooks.apply_taylorseer_cache(module, config)


def _casting(module: Any) -> None:
    hooks.apply_layerwise_casting(module, storage_dtype=torch.float16, compute_dtype=torch.float32)


def _offloading(module: Any) -> None:
    cpu = torch.device("cpu")
    try:
        hooks.apply_group_offloading(
            module, onload_device=cpu, offload_device=cpu, offload_type="leaf_level"
        )
    except AttributeError:
        pytest.skip("this release of diffusers offloads only with an accelerator")


HOOKS: dict[str, Callable[[Any], None]] = {
    "apply_pyramid_attention_broadcast": _broadcast,
    "apply_faster_cache": _faster(False),
    "apply_faster_cache, distilled": _faster(True),
    "apply_first_block_cache": lambda module: hooks.apply_first_block_cache(
        module, hooks.FirstBlockCacheConfig(threshold=0.3)
    ),
    "apply_mag_cache": _mag,
    "apply_taylorseer_cache": _taylor,
    "apply_layer_skip": _skip,
    "apply_layerwise_casting": _casting,
    "apply_group_offloading": _offloading,
}
# For denoisers that the guard does not support, for several devices, or a part of another.
NOT_HERE = {
    "apply_sea_cache": "Cosmos 3, and Wan's classic pipeline, which pass it the step",
    "apply_text_kv_cache": "Nucleus",
    "apply_context_parallel": "several devices",
    "apply_tensor_parallel": "several devices",
    "apply_layerwise_casting_hook": "apply_layerwise_casting applies it",
}
