"""Pipelines of other families in a run: asked whole, the same images as plain calls give."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tiny
import torch
from hosts.tiny_families import CALLS, pipeline
from PIL import Image

from safelatent import guard
from safelatent.detectors import Protocol, always
from safelatent.errors import UnsupportedError
from safelatent.prompts import Prompt, PromptSet
from safelatent.runs.asking import InParts, Whole, asking_of, length_of
from safelatent.runs.local import run_local
from safelatent.runs.maker import Maker
from safelatent.runs.plan import Plan
from safelatent.runs.settings import RunSettings

STEPS, SCALE, CONCEPT = 4, 5.0, "violence, weapons"
TEXTS = ("a cat", "a dog at night")


def results_of(pipe):
    prompts = tuple(Prompt(text=text, id=f"p-{n}", seed=100 + n, width=8, height=8) for n, text in enumerate(TEXTS))
    settings = RunSettings(
        prompts="test",
        prompts_digest="0",
        model="tiny",
        model_digest="0",
        scheduler={},
        protocol="test",
        protocol_hash="0",
        steps=STEPS,
        images=2,
        batch=4,
        guidance_scale=SCALE,
        methods=("off", "max"),
        concept=CONCEPT,
        size="prompt",
    )
    plan = Plan(settings=settings, prompts=PromptSet(name="test", prompts=prompts, rows=len(prompts), skipped={}))
    maker = Maker(pipe, Protocol(name="test", detectors=(always(),)), settings)
    return {(r.prompt_id, r.image, r.method): r for results in run_local(maker, plan, list) for r in results}


def pixels(result) -> np.ndarray:
    assert result.reason is None
    return np.asarray(Image.open(io.BytesIO(result.png))).astype(int)


@pytest.mark.parametrize("kind", ["sdxl", "sd3", "flux"])
def test_the_images_are_those_of_plain_calls(kind):
    pipe = pipeline(kind)
    pipe.set_progress_bar_config(disable=True)
    found = results_of(pipe)
    scale = {"true_cfg_scale": SCALE, "negative_prompt": ""} if kind == "flux" else {"guidance_scale": SCALE}
    for n, text in enumerate(TEXTS):
        for method, call in (("off", pipe), ("max", guard(pipe, "max", concept=CONCEPT))):
            generator = torch.Generator().manual_seed(100 + n)
            image = call(text, height=8, width=8, num_inference_steps=STEPS, generator=generator, **scale).images[0]
            assert np.abs(pixels(found[f"p-{n}", 0, method]) - np.asarray(image)).max() <= 1  # a rounding of the eighth bit
            assert np.abs(pixels(found[f"p-{n}", 1, method]) - np.asarray(image)).max() > 1, "another image, other noise"
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
