from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, StableDiffusionPipeline, UNet2DModel

from safelatent import DEFAULT_CONCEPT, BadValueError, NotGuardedError, UnsupportedError, guard
from tests import tiny
from tests.peer import StableDiffusionPipelineSafe
from tests.pipelines.classic import tiny_families


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


class Renamed(StableDiffusionPipeline):
    """A subclass that keeps the call."""


class Rewritten(StableDiffusionPipeline):
    """A subclass whose call may ask the denoiser in any order."""

    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs)


def test_a_subclass_with_the_known_call_is_guarded():
    out = guard(tiny.pipeline(Renamed), "max")("a cat", num_inference_steps=2)
    assert out.receipts[0].guided_steps == 2


def test_unknown_orders_are_refused():
    unconditional = DDPMPipeline(
        UNet2DModel(
            sample_size=8,
            block_out_channels=(8,),
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
            norm_num_groups=4,
        ),
        DDPMScheduler(),
    )
    for other in (
        tiny.pipeline(Rewritten),
        tiny.pipeline(StableDiffusionPipelineSafe),
        unconditional,
        object(),
        None,
    ):
        with pytest.raises(
            UnsupportedError,
            match=f"cannot guard {type(other).__name__}.*supported: StableDiffusionPipeline",
        ):
            guard(other)


def test_distilled_models_are_refused():
    distilled = tiny.pipeline(unet=tiny.parts(time_cond_proj_dim=8)["unet"])
    with pytest.raises(UnsupportedError, match="distilled"):
        guard(distilled)


@pytest.mark.parametrize("concept", ["", "  ", ",", None, 7])
def test_an_empty_concept_is_refused(pipe, concept):
    with pytest.raises(BadValueError, match="the concept"):
        guard(pipe, "max", concept=concept)


def test_a_concept_over_the_limit_is_refused_not_cut(pipe):
    words = ["cat", "dog", "night", "party", "pistol", "pirate"]
    fits = ", ".join(f"{a} {b}" for a in words for b in words if a != b)
    with pytest.raises(
        BadValueError, match=r"the concept has 91 tokens, the text encoder reads 77"
    ):
        guard(pipe, "max", concept=fits)
    assert guard(pipe, "max", concept=DEFAULT_CONCEPT)


@pytest.mark.parametrize("safety", ["stong", "off", "", None, 3, [], ["weak", "x"]])
def test_a_safety_that_is_none_is_refused(pipe, safety):
    with pytest.raises(BadValueError):
        guard(pipe, safety)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"guidance_scale": float("inf")}, "guidance_scale is inf"),
        ({"guidance_scale": "7"}, "guidance_scale is '7'"),
        ({"guidance_scale": True}, "guidance_scale is True"),
        ({"guidance_scale": np.bool_(True)}, "guidance_scale is np.True_"),
        ({"guidance_scale": torch.tensor(True)}, r"guidance_scale is tensor\(True\)"),
        ({"guidance_scale": torch.tensor([7.5])}, r"guidance_scale is tensor\(\[7.5"),
        ({"guidance_scale": 10**400}, "guidance_scale is a whole number of 1329 bits"),
        ({"guidance_scale": 7 + 1j}, r"guidance_scale is \(7\+1j\)"),
        ({"guidance_scale": None}, "guidance_scale is None"),
        ({"num_inference_steps": 0}, "num_inference_steps is 0"),
        ({"num_inference_steps": -3}, "num_inference_steps is -3"),
        ({"num_inference_steps": 2.5}, "num_inference_steps is 2.5"),
        ({"num_inference_steps": Fraction(5, 2)}, r"num_inference_steps is Fraction\(5, 2\)"),
        ({"num_inference_steps": True}, "num_inference_steps is True"),
        ({"num_inference_steps": 10**400}, "num_inference_steps is a whole number of 1329 bits"),
        ({"num_inference_steps": None}, "num_inference_steps is None"),
        ({"num_inference_steps": np.float32("nan")}, r"num_inference_steps is np.float32\(nan\)"),
        ({"prompt": []}, "prompt is an empty list"),
        ({"prompt": [None]}, "prompt holds None"),
        ({"prompt": "a \ud800 cat"}, ".*lone surrogate"),
        ({"negative_prompt": "\udfff"}, ".*lone surrogate"),
    ],
    ids=str,
)
def test_arguments_that_break_a_rule_are_refused_before_anything_runs(
    pipe, monkeypatch, changes, message
):
    monkeypatch.setattr(pipe, "encode_prompt", None)
    with pytest.raises(BadValueError, match=rf"^{message}[^\n]*$"):
        guard(pipe, "max")(**({"prompt": "a cat"} | changes))


@pytest.mark.parametrize(
    ("scale", "steps"),
    [
        (np.float32(7.5), np.int16(4)),
        (np.float16(7.5), np.uint8(4)),
        (Fraction(15, 2), Fraction(4)),
        (Decimal("7.5"), Decimal(4)),
        (torch.tensor(7.5), torch.tensor(4)),
        (torch.tensor(7.5, dtype=torch.bfloat16), torch.tensor(4, dtype=torch.int16)),
        (np.array(7.5), np.array(4)),
        (7.5, 4.0),
    ],
)
def test_numbers_of_any_type_are_numbers(pipe, scale, steps):
    call = {"prompt": "a cat", "output_type": "latent"}
    wanted, ours = (
        guard(pipe, "max")(
            **call,
            guidance_scale=s,
            num_inference_steps=n,
            generator=torch.Generator().manual_seed(0),
        )
        for s, n in ((7.5, 4), (scale, steps))
    )
    assert torch.equal(ours.images, wanted.images)
    assert ours.receipts == wanted.receipts


@pytest.mark.parametrize("length", [np.int16(64), Fraction(64), torch.tensor(64)])
def test_the_length_of_a_prompt_too(length):
    pipe = tiny_families.pipeline("pixart")
    call = tiny_families.CALLS["pixart"] | {"num_inference_steps": 3, "output_type": "latent"}
    safe = guard(pipe, "max")
    assert safe("a cat", **(call | {"max_sequence_length": length})).receipts[0].steps == 3
    with pytest.raises(BadValueError, match=r"max_sequence_length is 0\.5; it must be a whole"):
        safe("a cat", **(call | {"max_sequence_length": 0.5}))


def test_a_misspelt_argument_does_not_vanish(pipe):
    with pytest.raises(
        TypeError, match=r"no argument 'guidence_scale' \(did you mean 'guidance_scale'\?\)"
    ):
        guard(pipe, "max")("a cat", guidence_scale=3)


def test_guidance_off_by_the_models_own_doing_is_refused(pipe, monkeypatch):
    monkeypatch.setattr(
        StableDiffusionPipeline, "do_classifier_free_guidance", property(lambda self: False)
    )
    with pytest.raises(NotGuardedError, match="classifier-free guidance is off"):
        guard(pipe, "max")(["a cat", "a dog"], num_inference_steps=3)
