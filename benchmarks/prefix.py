"""What the rows of one image share in the denoiser: ``python -m benchmarks.prefix`` counts it for
``docs/cost.md``, on the meta device, without weights.

The rows of an image in a guided step (unconditional, prompt, concept) have the same latents, so
that all values are the same until a layer reads the text. What lies before it could be computed
once for all rows.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import cost
from benchmarks.random_models import MODELS, denoiser
from safelatent.models.load import EMBEDDED
from safelatent.storage import write_whole

TOKENS = 77
EMBEDDED_NAME = "embedded"
# The first layer whose result depends on the text, but for layers that embed the text itself.
CROSS_ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
READS = {
    EMBEDDED_NAME: CROSS_ATTENTION,
    "SD 1.5": CROSS_ATTENTION,
    "SDXL": "down_blocks.0.resnets.0.time_emb_proj",  # the time's embedding has the pooled text
    "SD3 medium": "transformer_blocks.0",  # the blocks are joint, and their norms have the text
}


def made(name: str, device: str, *, small: bool = False) -> Any:
    """Return the denoiser of that name with random weights, or with none on the meta device."""
    if name != EMBEDDED_NAME:
        return denoiser(name, device, small=small)
    config: Any = UNet2DConditionModel.load_config(EMBEDDED / "unet")
    with torch.device(device):
        return UNet2DConditionModel.from_config(config)


def inputs(model: Any, device: str, seed: int = 0) -> dict[str, Any]:
    """Return what a denoiser is called with for one row; ``seed`` is the text's alone."""
    config, side = model.config, model.config.sample_size
    with torch.device(device):
        latents, timestep = torch.ones(1, config.in_channels, side, side), torch.ones(1)
        texts = torch.Generator(device if device != "meta" else "cpu").manual_seed(seed)
        text = lambda *shape: torch.rand(shape, generator=texts, device=device)  # noqa: E731
        if hasattr(config, "joint_attention_dim"):
            return {
                "hidden_states": latents,
                "timestep": timestep,
                "encoder_hidden_states": text(1, TOKENS, config.joint_attention_dim),
                "pooled_projections": text(1, config.pooled_projection_dim),
            }
        found = {
            "sample": latents,
            "timestep": timestep,
            "encoder_hidden_states": text(1, TOKENS, config.cross_attention_dim),
        }
        if config.addition_embed_type != "text_time":
            return found
        sizes = 6 * config.addition_time_embed_dim
        width = config.projection_class_embeddings_input_dim - sizes
        return found | {
            "added_cond_kwargs": {"text_embeds": text(1, width), "time_ids": torch.ones(1, 6)}
        }


def counted(name: str) -> dict[str, Any]:
    """Return the operations (of floating point, of one row) before the text is read and in all."""
    model, before = made(name, "meta"), list[int]()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.get_submodule(READS[name]).register_forward_pre_hook(
            lambda *_: before.append(counter.get_total_flops())
        )
        model(**inputs(model, "meta"))
        whole = counter.get_total_flops()
    return {"reads": READS[name], "before": before[0], "whole": whole}


def main() -> None:
    """Count, and write the page."""
    argparse.ArgumentParser(prog="python -m benchmarks.prefix", description=__doc__).parse_args()
    found = {name: counted(name) for name in (EMBEDDED_NAME, *MODELS)}
    write_whole(cost.PREFIX, (json.dumps(found, indent=1) + "\n").encode())
    print(cost.write())


if __name__ == "__main__":
    main()
