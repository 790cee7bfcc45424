"""What of a modular pipeline can be refused before anything is computed, and its parts by name."""

from __future__ import annotations

import sys
from typing import Any

import diffusers
from diffusers import ModularPipelineBlocks
from diffusers.guiders import BaseGuidance
from diffusers.modular_pipelines import SequentialPipelineBlocks

from safelatent.errors import BadValueError, NotGuardedError, UnsupportedError, nearest
from safelatent.pipelines.checks import checked_scale, is_distilled

# By the blocks' ``model_name``; their order of calls and the fields of their batches are known.
FAMILIES = {
    "stable-diffusion-xl": "Stable Diffusion XL",
    "stable-diffusion-3": "Stable Diffusion 3",
    "qwenimage": "Qwen-Image",
    "z-image": "Z-Image",
    "wan": "Wan 2.1 and 2.2, text to video",
    "flux2-klein": "Flux.2 klein base",
    "flux3": "Flux.3",
    "krea2": "Krea 2",
    "hunyuan-video-1.5": "HunyuanVideo 1.5",
}
# Guiders that take two predictions and no other look at the model.
INNER = (
    "ClassifierFreeGuidance",
    "AdaptiveProjectedGuidance",
    "ClassifierFreeZeroStarGuidance",
    "TangentialClassifierFreeGuidance",
)
DENOISERS = ("unet", "transformer", "transformer_2")


def text_encoder_of(name: str, blocks: Any) -> str:
    """Return the name of the block that encodes the prompt.

    Raises:
        UnsupportedError: the family is not known, or its blocks encode no prompt.
    """
    if not isinstance(blocks, SequentialPipelineBlocks) or blocks.model_name not in FAMILIES:
        known = ", ".join(FAMILIES.values())
        raise UnsupportedError(
            f"cannot guard {name}: the order in which its blocks call the denoiser is not known; "
            f"supported: {known}"
        )
    for key, block in blocks.sub_blocks.items():
        if "prompt" in block.input_names and "prompt_embeds" in block.intermediate_output_names:
            _check_imports(name, block)
            return key
    raise UnsupportedError(
        f"cannot guard this {name}: none of its blocks encodes a prompt; "
        "keep the text encoder's block"
    )


def check_pipeline(pipe: Any) -> dict[str, BaseGuidance]:
    """Return the pipeline's guiders by name; refuse a pipeline that cannot be guarded however it
    is called.

    Raises:
        UnsupportedError: naming the pipeline, the reason and the way out.
    """
    name = type(pipe).__name__
    if getattr(pipe, "scheduler", None) is None:
        raise UnsupportedError(
            f"cannot guard this {name}: its components are not loaded; call load_components() first"
        )
    guiders = {key: part for key, part in pipe.components.items() if isinstance(part, BaseGuidance)}
    parts = (getattr(pipe, key, None) for key in DENOISERS)
    distilled = any(is_distilled(part) for part in parts if part is not None)
    if not guiders or distilled or pipe.config.get("is_distilled"):
        raise UnsupportedError(
            f"cannot guard this {name}: it is distilled and makes no unconditional estimate; "
            "use the undistilled model"
        )
    for key, guider in guiders.items():
        if type(guider).__name__ not in INNER:
            raise UnsupportedError(
                f"cannot guard this {name}: its {key} is {type(guider).__name__}, whose order of "
                f"predictions is not known; use one of {', '.join(INNER)}"
            )
    return guiders


def check_guiders(pipe: Any, guiders: dict[str, BaseGuidance]) -> None:
    """Refuse guiders that would leave a step without an unconditional estimate.

    Raises:
        BadValueError: a guidance scale is not a finite number.
        NotGuardedError: naming the pipeline, the reason and the way out.
    """
    name = type(pipe).__name__
    for key, guider in guiders.items():
        if not guider._enabled:
            raise NotGuardedError(
                f"the {key} of this {name} is disabled, so the guard could not act; "
                f"call pipe.{key}.enable()"
            )
        least = 0.0 if guider.use_original_formulation else 1.0
        checked_scale(f"guidance_scale of the {key} of this {name}", guider.guidance_scale, least)
        if guider._start > 0 or guider._stop < 1:
            raise NotGuardedError(
                f"the {key} of this {name} acts from {guider._start} to {guider._stop} of the "
                "steps alone, and the guard could not act at the others; "
                "leave start and stop at 0 and 1"
            )


def guider_of(config: dict[str, Any]) -> BaseGuidance:
    """Return the guider of a configuration with ``_class_name``.

    Raises:
        UnsupportedError: the guider's order of predictions is not known.
    """
    kind = getattr(diffusers.guiders, str(config.get("_class_name")), None)
    if kind is None or kind.__name__ not in INNER:
        raise UnsupportedError(
            f"the guider is {config.get('_class_name')!r}; the guard knows {', '.join(INNER)}"
        )
    return kind(**{name: value for name, value in config.items() if name != "_class_name"})


def blocks_named(name: str) -> ModularPipelineBlocks:
    """Return diffusers' blocks of that class name.

    Raises:
        BadValueError: diffusers has none, with a suggestion.
    """
    kind = getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, ModularPipelineBlocks)):
        known = [other for other in dir(diffusers) if other.endswith("Blocks")]
        raise BadValueError(
            f"diffusers has no blocks {name!r}{nearest(name, known, ending='Blocks')}; "
            "name a class like 'StableDiffusionXLAutoBlocks'"
        )
    return kind()


def _check_imports(name: str, block: ModularPipelineBlocks) -> None:
    """Some text encoders clean the prompt with ftfy, and without it fail in the middle."""
    module = vars(sys.modules[type(block).__module__])
    if "basic_clean" in module and "ftfy" not in module:
        raise UnsupportedError(
            f"{name} cleans its prompts with ftfy, which is not installed: pip install ftfy"
        )
