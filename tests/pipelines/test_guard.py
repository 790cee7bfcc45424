from __future__ import annotations

import traceback

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPConfig, CLIPImageProcessor

from safelatent import (
    DEFAULT_CONCEPT,
    MAX,
    WEAK,
    Adaptive,
    Concept,
    ConceptEmbeds,
    NotGuardedError,
    UnsupportedError,
    guard,
)
from safelatent.errors import GuardError
from safelatent.guidance import MEDIUM, STRONG
from tests import tiny
from tests.pipelines.modular import tiny_modular

CALL = {"prompt": "a pirate with a pistol", "num_inference_steps": 6}


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


def test_the_pipelines_own_output_plus_receipts(pipe):
    out = guard(pipe, "max")(**CALL, generator=torch.manual_seed(0))
    plain = pipe(**CALL, generator=torch.manual_seed(0))
    assert type(out) is type(plain)
    assert out.images[0].size == plain.images[0].size
    assert out.nsfw_content_detected is None
    receipt = out.receipts[0]
    assert (receipt.safety, receipt.guided_steps, receipt.steps, receipt.evaluations) == (
        "max",
        6,
        6,
        18,
    )
    assert 0 < receipt.gate_open <= 1
    assert receipt.gamma_ratio > 0
    assert receipt.concept.startswith("hate, harassment")


def test_a_tuple_ends_in_the_receipts(pipe):
    images, flags, receipts = guard(pipe, "max")(**CALL, return_dict=False)
    assert len(images) == len(receipts) == 1
    assert flags is None


def test_arguments_go_by_position_as_they_do_for_the_pipeline(pipe):
    by_position = guard(pipe, "max")(
        "a cat", 8, 8, 6, generator=torch.manual_seed(0), output_type="np"
    )
    by_name = guard(pipe, "max")(
        prompt="a cat",
        height=8,
        width=8,
        num_inference_steps=6,
        generator=torch.manual_seed(0),
        output_type="np",
    )
    assert np.array_equal(by_position.images, by_name.images)


def test_prompt_embeddings_instead_of_text(pipe):
    prompt, negative = pipe.encode_prompt("a cat with a pistol", "cpu", 1, True)
    call = {"num_inference_steps": 6, "output_type": "np"}
    text = guard(pipe, "max")("a cat with a pistol", generator=torch.manual_seed(0), **call)
    given = guard(pipe, "max")(
        prompt_embeds=prompt,
        negative_prompt_embeds=negative,
        generator=torch.manual_seed(0),
        **call,
    )
    np.testing.assert_allclose(given.images, text.images, atol=1e-5)


def test_the_guard_draws_no_noise(pipe):
    """The same global random state is left as by the plain pipeline: seeds mean what they meant."""
    torch.manual_seed(5)
    pipe(**CALL)
    plain = torch.rand(1)
    torch.manual_seed(5)
    guard(pipe, "max")(**CALL)
    assert torch.equal(torch.rand(1), plain)


def test_a_guarded_pipeline_is_not_guarded_again(pipe):
    safe = guard(pipe, MAX)
    with pytest.raises(
        UnsupportedError, match=r"StableDiffusionPipeline is guarded already; guard\(safe\.pipe"
    ):
        guard(safe, "weak")  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert guard(safe.pipe, "weak").guidance == WEAK


def test_unasked_a_guard_is_adaptive_and_against_a_concept_that_is_named(pipe):
    assert guard(pipe).guidance == guard(pipe, concept=DEFAULT_CONCEPT).guidance == Adaptive()
    (only,) = guard(pipe, concept="blood, gore").guidance.categories
    assert only.concept == Concept.parse("blood, gore")
    assert only.strength == STRONG.by_noise_level()
    out = guard(pipe, concept="blood, gore")(**CALL)
    assert "blood, gore" in out.receipts[0].concept
    embeds = ConceptEmbeds(text="blood", prompt_embeds=torch.rand(1, 77, 16))
    safe = guard(pipe, concept=embeds)
    assert (safe.guidance, safe.concept) == (STRONG.by_noise_level(), embeds)
    assert guard(tiny_modular.pipeline("sdxl")).guidance == MEDIUM


@pytest.mark.parametrize("given", ["embedded", "some/folder"])
def test_a_name_is_no_pipeline(given):
    with pytest.raises(UnsupportedError, match=r"is a name; load it first: guard\(load\(name\)"):
        guard(given)  # pyright: ignore[reportCallIssue, reportArgumentType]


def refusals(pipe):
    """Calls that are refused before the pipeline runs, and in the middle of it."""
    safe = guard(pipe, "max")

    def not_a_number(_, step, __, kwargs):
        return kwargs | {"latents": kwargs["latents"] * float("nan")}

    broken = {"callback_on_step_end": not_a_number}
    return {
        "before": (NotGuardedError, lambda: safe(**CALL, guidance_scale=1.0)),
        "in the middle": (GuardError, lambda: safe(**CALL, **broken)),
        "watched": (GuardError, lambda: safe.watch(lambda _: None, **CALL, **broken)),
    }


@pytest.mark.parametrize("when", ["before", "in the middle", "watched"])
def test_a_refusal_is_short_in_a_notebook(pipe, when):
    """The cause last, our frames only: twenty frames of diffusers and torch say nothing of it."""
    kind, call = refusals(pipe)[when]
    with pytest.raises(kind) as caught:
        call()
    lines = "".join(traceback.format_exception(caught.value)).splitlines()
    assert lines[-1].startswith(f"safelatent.errors.{kind.__name__}: ")
    frames = [line for line in lines if line.lstrip().startswith("File ")]
    assert 2 < len(frames) <= 12
    assert not [line for line in frames if "/diffusers/" in line or "/torch/" in line]
    assert "During handling" not in "\n".join(lines)


def test_errors_that_are_not_ours_keep_their_traceback(pipe):
    def wrong(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        guard(pipe, "max")(**CALL, callback_on_step_end=wrong)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert [frame for frame in frames if "/diffusers/" in frame.filename]


def checker(flagged: list[bool]) -> StableDiffusionSafetyChecker:
    """A real checker of diffusers whose answer is fixed by its thresholds, image by image."""
    tower = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = CLIPConfig(
        text_config=tower,
        vision_config=tower | {"image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    model = StableDiffusionSafetyChecker(config).eval()
    forward = model.forward

    def answer(clip_input, images):
        outcomes = []
        for b, bad in enumerate(flagged):
            model.concept_embeds_weights.fill_(
                -10.0 if bad else 10.0
            )  # a threshold that is always, or never, passed
            model.special_care_embeds_weights.fill_(10.0)
            outcomes.append(forward(clip_input[b : b + 1], images[b : b + 1]))
        return torch.cat([image for image, _ in outcomes]), [flags[0] for _, flags in outcomes]

    model.forward = answer
    return model


@pytest.mark.parametrize(
    "flagged",
    [[False] * 4, [True, False, False, False], [False, True, True, True], [True] * 4],
    ids=str,
)
def test_flags_of_the_safety_checker_are_per_image(flagged):
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    pipe = tiny.pipeline(safety_checker=checker(flagged), feature_extractor=processor)
    out = guard(pipe, MAX)(
        ["a cat", "a dog", "the party", "night"], num_inference_steps=3, output_type="np"
    )
    assert out.nsfw_content_detected == flagged
    assert len(out.receipts) == 4
    for image, bad in zip(out.images, flagged, strict=True):
        assert (image.max() == 0) == bad
