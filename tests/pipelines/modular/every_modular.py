"""One call for every modular pipeline that can be guarded, and every refusal: what the page on
pipelines is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import diffusers
import pytest
import torch

from safelatent import SLD, guard
from safelatent.pipelines.modular import GuardedBlocks
from safelatent.pipelines.modular.checks import INNER
from tests.pipelines.every_pipeline import STEPS, Refusal
from tests.pipelines.modular import tiny_modular
from tests.pipelines.modular.by_hand import CONCEPT, PROMPT

# Qwen-Image divides by the norm of the guided estimate, and CFG-Zero* makes that of the first step
# zero: no number, guarded or not.
NOT_WITH = {"qwen": ("ClassifierFreeZeroStarGuidance",)}


def guiders_of(family: str) -> list[str]:
    """Those that run there."""
    return [name for name in INNER if name not in NOT_WITH.get(family, ())]


def with_guider(family: str, name: str = "ClassifierFreeGuidance", **settings: Any) -> Any:
    """The family's pipeline with this guider."""
    return guided_by(tiny_modular.pipeline(family), name, **settings)


def guided_by(pipe: Any, name: str, **settings: Any) -> Any:
    """The pipeline itself, with this guider in both places where it has two."""
    places = [place for place in pipe.components if place.startswith("guider")]
    pipe.update_components(**{place: getattr(diffusers, name)(**settings) for place in places})
    return pipe


def call(pipe: Any, family: str, safety: Any = "max", **changes: Any) -> Any:
    """Guarded, in a few steps."""
    given = {
        "prompt": PROMPT,
        "num_inference_steps": STEPS,
        "output_type": "pt",
        "generator": torch.Generator().manual_seed(0),
    }
    return guard(pipe, safety, concept=CONCEPT)(
        **(given | tiny_modular.CALL.get(family, tiny_modular.SIZE) | changes)
    )


def _guider(name: str, family: str = "sdxl", **settings: Any) -> Callable[[], Any]:
    return lambda: call(with_guider(family, name, **settings), family)


def _scale(**settings: Any) -> Callable[[], Any]:
    return _guider("ClassifierFreeGuidance", **settings)


def _scheduler(name: str) -> Callable[[], Any]:
    made = getattr(diffusers, name).from_config(tiny_modular.tiny.scheduler().config)
    return lambda: call(tiny_modular.pipeline("sdxl", scheduler=made), "sdxl")


def _ask(safety: Any = "max", **changes: Any) -> Callable[[], Any]:
    return lambda: call(tiny_modular.pipeline("sdxl"), "sdxl", safety, **changes)


def _shipped() -> Any:
    return call(tiny_modular.z_image_as_shipped(), "z-image")


def _one_disabled() -> Any:
    pipe = tiny_modular.pipeline("wan22")
    pipe.guider_2.disable()
    return call(pipe, "wan22")


def _unknown(name: str) -> Any:
    return guard(getattr(diffusers, name)().init_pipeline())


def _distilled() -> Any:
    pipe = diffusers.Flux2KleinAutoBlocks().init_pipeline()
    pipe.update_components(scheduler=diffusers.FlowMatchEulerDiscreteScheduler())
    return guard(pipe)


def _without_text_encoder() -> Any:
    blocks = diffusers.StableDiffusionXLAutoBlocks()
    blocks.sub_blocks.pop("text_encoder")
    return guard(blocks.init_pipeline())


def _without_ftfy() -> Any:
    from diffusers.modular_pipelines.wan import encoders

    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(encoders, "ftfy")
        return guard(tiny_modular.pipeline("wan"))


def _twice() -> Any:
    return guard(GuardedBlocks("StableDiffusionXLAutoBlocks").init_pipeline())


_PERTURBED = {"perturbed_guidance_layers": [0]}
_PICTURE = torch.zeros(1, 3, 16, 16)
REFUSALS = [
    Refusal(
        what="blocks whose order of calls is not known (here Flux, distilled)",
        do=partial(_unknown, "FluxAutoBlocks"),
    ),
    Refusal(what="an editing pipeline", do=partial(_unknown, "QwenImageEditAutoBlocks")),
    Refusal(what="a distilled model", do=_distilled),
    Refusal(
        what="a guider with its own prediction (perturbed attention)",
        do=_guider("PerturbedAttentionGuidance", **_PERTURBED),
    ),
    Refusal(
        what="a guider with its own prediction (skipped layers)",
        do=_guider("SkipLayerGuidance", skip_layer_guidance_layers=[0]),
    ),
    Refusal(
        what="a guider with its own prediction (smoothed energy)",
        do=_guider("SmoothedEnergyGuidance", seg_guidance_layers=[0]),
    ),
    Refusal(what="a disabled guider, as Z-Image is shipped", do=_shipped),
    Refusal(what="one disabled guider of two", do=_one_disabled),
    Refusal(what="guidance scale 1 or less", do=_scale(guidance_scale=1.0)),
    Refusal(
        what="the other formulation, scale 0 or less",
        do=_scale(guidance_scale=0.0, use_original_formulation=True),
    ),
    Refusal(what="a guider for part of the run", do=_scale(start=0.5)),
    Refusal(
        what="CFG-Zero* on Qwen-Image, which ends in NaN without the guard too",
        do=_guider("ClassifierFreeZeroStarGuidance", "qwen"),
    ),
    Refusal(
        what="a scheduler that evaluates more often than once a step (Heun)",
        do=_scheduler("HeunDiscreteScheduler"),
    ),
    Refusal(
        what="a scheduler that evaluates more often than once a step (PNDM)",
        do=_scheduler("PNDMScheduler"),
    ),
    Refusal(
        what="image-to-image so weak that no step is guarded",
        do=_ask("medium", image=_PICTURE, strength=0.5),
    ),
    Refusal(what="a warm-up of all steps", do=_ask(SLD(warmup=STEPS))),
    Refusal(what="the concept as prompt", do=_ask(prompt=CONCEPT)),
    Refusal(what="the concept as negative prompt", do=_ask(negative_prompt=CONCEPT)),
    Refusal(
        what="components that are not loaded", do=partial(_unknown, "StableDiffusionXLAutoBlocks")
    ),
    Refusal(what="blocks without the text encoder's", do=_without_text_encoder),
    Refusal(what="a text encoder that asks for a package that is not there", do=_without_ftfy),
    Refusal(what="blocks that are guarded already", do=_twice),
]
