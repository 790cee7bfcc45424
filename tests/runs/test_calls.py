"""Pipelines of other families in a run: asked whole, the same images as plain calls give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    SanaPipeline,
)

from safelatent import Concept
from safelatent.errors import UnsupportedError
from safelatent.generation.methods import by_method
from safelatent.prompts import Prompt, PromptSet
from safelatent.runs.calls import StagedCall, WholeCall, call_of
from tests import tiny
from tests.pipelines.classic.tiny_families import CALLS, build, pipeline, pixart_parts, sana_parts
from tests.runs import dummy
from tests.runs.test_worker import pixels, results_of

STEPS, SCALE, CONCEPT = 4, 5.0, "violence, weapons"
METHODS = ("off", "negative prompt", "max")
TEXTS = ("a cat", "a dog at night")


def binned_pixart_parts():
    """PixArt's and Sana's calls round a size to one of a table, by what their transformer was made
    for: 256 pixels are the least here.
    """
    parts = pixart_parts()
    parts["transformer"].register_to_config(sample_size=32)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4,) * 4,
        norm_num_groups=2,
        layers_per_block=1,
        mid_block_add_attention=False,
    )
    return parts | {"vae": vae.eval()}


def binned_sana_parts():
    """512 pixels are the least of Sana's."""
    parts = sana_parts()
    parts["transformer"].register_to_config(sample_size=16)
    parts["vae"] = AutoencoderDC(
        latent_channels=4,
        encoder_block_types=("ResBlock",) * 6,
        decoder_block_types=("ResBlock",) * 6,
        encoder_block_out_channels=(4,) * 6,
        decoder_block_out_channels=(4,) * 6,
        encoder_qkv_multiscales=((),) * 6,
        decoder_qkv_multiscales=((),) * 6,
        encoder_layers_per_block=(1,) * 6,
        decoder_layers_per_block=(1,) * 6,
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        scaling_factor=0.41407,
    ).eval()
    return parts


# Class, parts and side of those whose own tiny pipeline is too small for their table of sizes.
BINNED = {
    "pixart": (PixArtAlphaPipeline, binned_pixart_parts, 256),
    "pixart-sigma": (PixArtSigmaPipeline, binned_pixart_parts, 256),
    "sana": (SanaPipeline, binned_sana_parts, 512),
}


def drawn_by(pipe, side):
    prompts = tuple(
        Prompt(text=text, id=f"p-{n}", seed=100 + n, width=side, height=side)
        for n, text in enumerate(TEXTS)
    )
    asked = {
        "steps": STEPS,
        "images": 2,
        "batch_size": 4,
        "guidance_scale": SCALE,
        "methods": METHODS,
        "concept": CONCEPT,
        "size": "prompt",
    }
    plan = dummy.plan(
        PromptSet(name="test", prompts=prompts, rows=len(prompts), skipped={}), **asked
    )
    return results_of(pipe, plan)


@pytest.mark.parametrize("kind", ["sdxl", "sd3", "flux", "pixart", "pixart-sigma", "sana"])
def test_the_images_are_those_of_plain_calls(kind):
    if kind in BINNED:
        of_class, parts, side = BINNED[kind]
        pipe = build(of_class, parts)
    else:
        pipe, side = pipeline(kind), 8
    pipe.set_progress_bar_config(disable=True)
    found = drawn_by(pipe, side)
    assert all(result.reason is None for result in found.values())
    scale = (
        {"true_cfg_scale": SCALE, "negative_prompt": ""}
        if kind == "flux"
        else {"guidance_scale": SCALE}
    )
    for n, text in enumerate(TEXTS):
        for method in METHODS:
            call = by_method(pipe, method, Concept.parse(CONCEPT))
            generator = torch.Generator().manual_seed(100 + n)
            image = call(
                text,
                height=side,
                width=side,
                num_inference_steps=STEPS,
                generator=generator,
                **scale,
            ).images[0]
            assert (
                np.abs(pixels(found[f"p-{n}", 0, method]).astype(int) - np.asarray(image)).max()
                <= 1
            )  # a rounding of the eighth bit
            assert (
                np.abs(pixels(found[f"p-{n}", 1, method]).astype(int) - np.asarray(image)).max() > 1
            ), "another image, other noise"
        assert found[f"p-{n}", 0, "max"].receipt["guided_steps"] > 0
        assert found[f"p-{n}", 0, "off"].receipt is None


def test_stable_diffusion_is_asked_in_parts_and_others_whole():
    assert isinstance(call_of(tiny.pipeline()), StagedCall)
    for kind in CALLS:
        assert isinstance(call_of(pipeline(kind)), WholeCall)
    with pytest.raises(UnsupportedError, match="cannot guard object"):
        call_of(object())
