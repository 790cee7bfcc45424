"""A modular pipeline's blocks, guarded: the concept's block, and what blocks say of themselves."""

from __future__ import annotations

import logging
from fractions import Fraction

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLAutoBlocks

from safelatent import (
    DEFAULT_CONCEPT,
    MAX,
    SLD,
    BadValueError,
    NotGuardedError,
)
from safelatent.pipelines.modular import GuardedBlocks
from tests.pipelines.modular import tiny_modular
from tests.pipelines.modular.test_checks import STEPS, ask, denoised
from tests.pipelines.modular.tiny_modular import CALL, PARTS


@pytest.fixture(scope="module")
def pipe():
    return tiny_modular.pipeline("sdxl")


def test_blocks_say_what_they_are():
    plain = StableDiffusionXLAutoBlocks()
    blocks = GuardedBlocks(plain, "strong", "weapons")
    assert blocks.model_name == plain.model_name
    assert blocks.description.endswith(
        "Guarded by Safe Latent Diffusion: 'strong' against weapons."
    )
    assert [one.name for one in blocks.inputs] == [one.name for one in plain.inputs]
    assert blocks.expected_configs == plain.expected_configs
    outputs = {one.name: one.description for one in blocks.intermediate_outputs}
    assert outputs["receipts"] == "What the guard did, one per image."


def test_a_workflow_is_guarded_too():
    plain = StableDiffusionXLAutoBlocks()
    blocks = GuardedBlocks(plain, MAX, "weapons")
    assert blocks.available_workflows == plain.available_workflows
    part = blocks.get_workflow(plain.available_workflows[0])
    assert isinstance(part, GuardedBlocks)
    assert (part.safety, str(part.concept)) == (MAX, "weapons")


@pytest.mark.parametrize("scale", [np.float32(5), Fraction(5), torch.tensor(5.0)])
def test_a_guidance_scale_of_any_numeric_type(pipe, monkeypatch, scale):
    monkeypatch.setattr(pipe.guider, "guidance_scale", scale)
    assert ask(pipe).receipts[0].guided_steps == STEPS


@pytest.mark.parametrize(
    ("family", "limit", "changes"),
    [
        ("sdxl", 77, {}),
        ("sd3", 77, {}),
        ("z-image", 64, {"max_sequence_length": 64}),
        ("klein", 64, {}),
        ("krea2", 69, {}),
        ("hunyuan", 74, {}),
        ("flux3", 40, {"max_sequence_length": 40}),
    ],
)
def test_a_concept_that_the_text_encoder_would_cut(family, limit, changes):
    if family not in PARTS:
        pytest.skip(f"this release of diffusers has no {family}")
    pipe = tiny_modular.pipeline(family)
    calls = denoised(pipe)
    long = ", ".join(
        [
            *map(str, DEFAULT_CONCEPT.terms),
            "a cat",
            "a dog",
            "the night",
            "a party",
            "pistol",
            "pirate",
            "images",
            "showing",
        ]
    )
    with pytest.raises(
        BadValueError,
        match=rf"the concept has \d+ tokens, .* the text encoder reads {limit}; take terms away",
    ):
        ask(
            pipe,
            concept=f"{long}, {', '.join('abcdefghij')}",
            **(CALL.get(family, {}) | {"prompt": "a"} | changes),
        )
    assert calls == []


def test_a_refusal_is_one_line(pipe, caplog):
    with (
        caplog.at_level(logging.ERROR, logger="diffusers"),
        pytest.raises(NotGuardedError) as refused,
    ):
        ask(pipe, SLD(warmup=100))
    assert "\n" not in str(refused.value)
    assert caplog.records == []
