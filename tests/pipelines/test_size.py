"""What a call will draw is told as large as it then is, for every pipeline that can be guarded."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from safelatent.pipelines.classic.checks import bind_call
from safelatent.pipelines.size import largest_side
from tests import tiny
from tests.pipelines.every_pipeline import CASES, picture

# What the tiny models can draw: sides of pixels, the smaller one first.
SIDES = {"StableDiffusion3": (4, 8), "Sana": (32, 64)}
# Their size is that of a picture of the call, and the default counts as well.
BY_PICTURE = ("ControlNet", "Img2Img")
LARGE = ("FluxPipeline", "SanaPipeline")  # by default they draw 1024 pixels a side and more


@cache
def pipe_of(name: str) -> Any:
    """The case's pipeline, which no test here changes."""
    return next(case for case in CASES if case.name == name).pipeline()


def told_and_drawn(case, **changes) -> tuple[int, int]:
    pipe = pipe_of(case.name)
    call = {n: v for n, v in case.arguments().items() if n not in ("height", "width")}
    call |= {"num_inference_steps": 2, "output_type": "pil"} | changes
    told = largest_side(pipe, bind_call(pipe, (), call))
    with torch.no_grad():
        return told, max(pipe(**call).images[0].size)


def given(case, size: str) -> dict[str, int]:
    height, width = next((both for name, both in SIDES.items() if name in case.name), (16, 24))
    sizes = {"none": {}, "height alone": {"height": height}}
    return sizes.get(size, {"height": height, "width": width})


def sizes(case) -> tuple[str, ...]:
    """What can be told of the size, as far as it can be drawn in a test."""
    takes_height = "height" in inspect.signature(getattr(diffusers, case.name).__call__).parameters
    told = ("height alone", "both") if takes_height else ()
    return told if case.name in LARGE else ("none", *told)


@pytest.mark.parametrize(
    ("case", "size"),
    [(case, size) for case in CASES for size in sizes(case)],
    ids=lambda part: part if isinstance(part, str) else part.name,
)
def test_it_is_as_large_as_it_is_told(case, size):
    told, drawn = told_and_drawn(case, **given(case, size))
    assert told >= drawn
    own = size == "both" or not any(part in case.name for part in BY_PICTURE)
    assert told == drawn or not own or size == "height alone"


@pytest.mark.parametrize("side", [32, [32, 16]])
def test_a_picture_sizes_image_to_image_in_every_form(side):
    height, width = side if isinstance(side, list) else (side, side)
    pipe = pipe_of("StableDiffusionImg2ImgPipeline")
    for image in (
        Image.new("RGB", (width, height)),
        [Image.new("RGB", (8, 8)), Image.new("RGB", (width, height))],
        np.zeros((1, height, width, 3), np.float32),
        torch.zeros(1, 3, height, width),
        torch.zeros(1, 4, height // pipe.vae_scale_factor, width // pipe.vae_scale_factor),
    ):
        assert largest_side(pipe, {"image": image}) == 32


def test_latents_and_pictures_that_are_pasted_into_count():
    pipe = tiny.pipeline()
    small = {"height": 8, "width": 8}
    assert largest_side(pipe, small) == 8
    latents = torch.zeros(1, 4, 8, 24)
    assert largest_side(pipe, small | {"latents": latents}) == 24 * pipe.vae_scale_factor
    pasted = small | {"image": picture(40)}
    assert largest_side(pipe, pasted) == 8
    assert largest_side(pipe, pasted | {"padding_mask_crop": 4}) == 40
