"""A guarded modular pipeline: read, set and called through its guard, as a classic one is."""

from __future__ import annotations

import traceback

import pytest
import torch
from diffusers import (
    ClassifierFreeGuidance,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)

from safelatent import MEDIUM, BadValueError, NotGuardedError, UnsupportedError, guard
from safelatent.pipelines.modular import GuardedBlocks
from safelatent.pipelines.safety import ConceptEmbeds
from tests.pipelines.modular import tiny_modular

PROMPT = "a pirate with a pistol"


@pytest.fixture
def modular():
    return guard(tiny_modular.pipeline("sdxl"), "max", concept="weapons, blood")


def draw_modular(safe):
    arguments = {"prompt": PROMPT, "num_inference_steps": 3, "output_type": "pt"}
    arguments |= tiny_modular.SIZE | {"generator": torch.Generator().manual_seed(0)}
    return safe(**arguments, output=["images", "receipts"])


def test_a_modular_pipeline_is_read_set_and_called_through_its_guard(modular):
    before = draw_modular(modular)["images"]
    modular.update_components(
        scheduler=EulerDiscreteScheduler.from_config(modular.scheduler.config),
        guider=ClassifierFreeGuidance(guidance_scale=3.0),
    )
    modular.set_progress_bar_config(disable=True)
    assert modular.guider.guidance_scale == 3.0
    assert modular.to("cpu") is modular
    assert (modular.device, modular.dtype) == (torch.device("cpu"), torch.float32)
    assert {"unet", "vae"} <= set(modular.component_names)
    after = draw_modular(modular)
    anew = draw_modular(guard(modular.pipe, "max", concept="weapons, blood"))
    assert torch.equal(after["images"], anew["images"])
    assert not torch.equal(after["images"], before)
    assert after["receipts"][0].guided_steps == 3


def test_a_modular_guard_refuses_what_a_classic_one_does(modular):
    with pytest.raises(UnsupportedError, match="is the guard's own"):
        modular.pipe = None
    with pytest.raises(UnsupportedError, match="is private to"):
        modular._blocks = modular.pipe._blocks
    with pytest.raises(AttributeError, match="is private to the pipeline"):
        _ = modular._blocks
    with pytest.raises(TypeError, match=r"guard\(pipe, SLD\(scale=5\)\)"):
        modular(prompt=PROMPT, sld_guidance_scale=5)
    modular.update_components(guider=ClassifierFreeGuidance(guidance_scale=1.0))
    with pytest.raises(NotGuardedError, match="classifier-free guidance is off"):
        draw_modular(modular)
    assert repr(modular).startswith("Guarded(StableDiffusionXLModularPipeline, safety='max'")


def test_a_refusal_of_a_modular_call_is_short_in_a_notebook(modular, caplog):
    """No log of the blocks that it passes, and our frames only."""
    modular = guard(modular.pipe, "medium")
    caplog.clear()
    with pytest.raises(
        NotGuardedError, match="the warm-up is 10 steps and the call has 3"
    ) as caught:
        draw_modular(modular)
    assert caplog.records == []
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert not [frame for frame in frames if "/diffusers/" in frame.filename]


def test_a_modular_guard_follows_its_scheduler(modular):
    modular = guard(modular.pipe, "medium")
    assert modular.guidance == MEDIUM
    modular.scheduler = FlowMatchEulerDiscreteScheduler()
    assert modular.guidance == MEDIUM.by_noise_level()


def test_a_guard_in_the_blocks_is_not_guarded_again():
    blocks = GuardedBlocks("StableDiffusionXLAutoBlocks", "max")
    with pytest.raises(UnsupportedError, match="is guarded already, by its blocks"):
        guard(blocks.init_pipeline())


def test_an_input_that_the_pipeline_would_drop_is_refused(modular):
    for name, hint in (("promt", "did you mean 'prompt'"), ("guidance_scale", "the guider's")):
        with pytest.raises(TypeError, match=f"has no input {name!r}.*{hint}"):
            modular(**{name: 5.0})


def test_a_concept_as_embeddings_is_refused(modular):
    """The concept is encoded by the pipeline's own block, with what it puts around a prompt."""
    concept = ConceptEmbeds(text="weapons", prompt_embeds=torch.zeros(1, 77, 48))
    with pytest.raises(BadValueError, match="takes it in words: concept='weapons'"):
        guard(modular.pipe, concept=concept)
