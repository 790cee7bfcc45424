"""Pipelines of other families in a run: asked whole, the same images as plain calls give."""

from __future__ import annotations

import dummy
import numpy as np
import pytest
import tiny
import torch
from hosts.tiny_families import CALLS, pipeline
from test_maker import pixels, results_of

from safelatent import guard
from safelatent.errors import UnsupportedError
from safelatent.prompts import Prompt, PromptSet
from safelatent.runs.asking import InParts, Whole, asking_of, length_of

STEPS, SCALE, CONCEPT = 4, 5.0, "violence, weapons"
TEXTS = ("a cat", "a dog at night")


def drawn_by(pipe):
    prompts = tuple(Prompt(text=text, id=f"p-{n}", seed=100 + n, width=8, height=8) for n, text in enumerate(TEXTS))
    asked = {
        "steps": STEPS,
        "images": 2,
        "batch": 4,
        "guidance_scale": SCALE,
        "methods": ("off", "max"),
        "concept": CONCEPT,
        "size": "prompt",
    }
    plan = dummy.plan(PromptSet(name="test", prompts=prompts, rows=len(prompts), skipped={}), **asked)
    return results_of(pipe, plan)


@pytest.mark.parametrize("kind", ["sdxl", "sd3", "flux"])
def test_the_images_are_those_of_plain_calls(kind):
    pipe = pipeline(kind)
    pipe.set_progress_bar_config(disable=True)
    found = drawn_by(pipe)
    assert all(result.reason is None for result in found.values())
    scale = {"true_cfg_scale": SCALE, "negative_prompt": ""} if kind == "flux" else {"guidance_scale": SCALE}
    for n, text in enumerate(TEXTS):
        for method, call in (("off", pipe), ("max", guard(pipe, "max", concept=CONCEPT))):
            generator = torch.Generator().manual_seed(100 + n)
            image = call(text, height=8, width=8, num_inference_steps=STEPS, generator=generator, **scale).images[0]
            assert np.abs(pixels(found[f"p-{n}", 0, method]).astype(int) - np.asarray(image)).max() <= 1  # a rounding of the eighth bit
            assert np.abs(pixels(found[f"p-{n}", 1, method]).astype(int) - np.asarray(image)).max() > 1, "another image, other noise"
        assert found[f"p-{n}", 0, "max"].receipt["guided_steps"] > 0
        assert found[f"p-{n}", 0, "off"].receipt is None


def test_stable_diffusion_is_asked_in_parts_and_others_whole():
    assert isinstance(asking_of(tiny.pipeline()), InParts)
    for kind in CALLS:
        assert isinstance(asking_of(pipeline(kind)), Whole)
    with pytest.raises(UnsupportedError, match="cannot guard object"):
        asking_of(object())


def test_the_length_that_is_read_of_a_prompt():
    assert length_of(tiny.pipeline())[1] == 77
    assert length_of(pipeline("sdxl"))[1] == 77
    assert length_of(pipeline("sd3"))[1] == 77, "without its T5"
    assert [length_of(pipeline(kind))[1] for kind in ("flux", "pixart", "sana")] == [512, 120, 300]
