"""The classic pipelines: which can be guarded, what of a call can be refused before it starts, and the concept as text embeddings.

All of them call ``unet(latents, t, encoder_hidden_states=...)`` once a step on the batch ``[unconditional, prompt]``.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

from torch import Tensor

from safelatent.concepts import Concept
from safelatent.errors import BadValueError, NotGuardedError, UnsupportedError, nearest

CLASSIC_PIPELINES = (
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionControlNetPipeline",
    "StableDiffusionControlNetImg2ImgPipeline",
    "StableDiffusionControlNetInpaintPipeline",
)

_OLD_ARGUMENTS = {"callback", "callback_steps"}  # read from the pipelines' **kwargs


def check_pipeline(pipe: Any) -> None:
    """Refuse whatever does not call its denoiser in the one order that the hook knows.

    A subclass is accepted when its ``__call__`` is that of a known pipeline: another one may call the denoiser in another order, and
    the guard would then act on the wrong half of the batch.

    Raises:
        UnsupportedError: naming the pipeline, the reason and the ways out.
    """
    caller = next((c for c in type(pipe).__mro__ if "__call__" in vars(c)), type(pipe))
    if caller.__name__ not in CLASSIC_PIPELINES or not caller.__module__.startswith("diffusers."):
        known = ", ".join(CLASSIC_PIPELINES)
        raise UnsupportedError(
            f"cannot guard {type(pipe).__name__}: the order in which it calls its denoiser is not known; supported: {known}"
        )
    if pipe.unet.config.time_cond_proj_dim is not None:
        raise UnsupportedError(
            f"cannot guard this {type(pipe).__name__}: its UNet is distilled and makes no unconditional estimate; use the undistilled model"
        )


def bind_call(pipe: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The call's arguments by name, defaults included, after the pipeline's own signature.

    Raises:
        TypeError: an argument that the pipeline does not have. The pipeline would drop it in silence, and a misspelt one with it.
    """
    signature = inspect.signature(pipe.__call__)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    rest = arguments.pop("kwargs", {})
    for name in rest.keys() - _OLD_ARGUMENTS:
        raise TypeError(f"{type(pipe).__name__} has no argument {name!r}{nearest(name, signature.parameters)}")
    return arguments | rest


def check_call(arguments: dict[str, Any]) -> None:
    """Refuse, before anything is computed, a call of which no image could be guarded.

    Raises:
        BadValueError: a guidance scale that is not a finite number, steps that are not a positive whole number, a prompt that is no text.
        NotGuardedError: classifier-free guidance is off.
    """
    scale, steps = arguments["guidance_scale"], arguments["num_inference_steps"]
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale):
        raise BadValueError(f"guidance_scale is {scale!r}; it must be a finite number above 1")
    if scale <= 1:
        raise NotGuardedError(
            f"guidance_scale is {scale}: classifier-free guidance is off and the guard could not act; give a scale above 1"
        )
    own_steps = arguments.get("timesteps") is None and arguments.get("sigmas") is None
    if own_steps and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise BadValueError(f"num_inference_steps is {steps!r}; it must be a whole number of at least 1")
    for name in ("prompt", "negative_prompt"):
        _check_text(name, arguments.get(name))
    if arguments.get("guess_mode"):
        raise NotGuardedError("guess_mode runs ControlNet without the prompt, which the guard does not know; leave it off")


def _check_text(name: str, value: object) -> None:
    if value is None:
        return
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise BadValueError(f"{name} is an empty list; give at least one text")
    for text in texts:
        if not isinstance(text, str):
            raise BadValueError(f"{name} holds {text!r}; it must be text")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadValueError(f"{name} holds {text[error.start]!r}, half of a character (a lone surrogate); remove it") from None


def check_concept(pipe: Any, concept: Concept) -> None:
    """Refuse a concept that the text encoder would cut in silence.

    Raises:
        BadValueError: more tokens than the text encoder has positions.
    """
    limit = min(pipe.tokenizer.model_max_length, pipe.text_encoder.config.max_position_embeddings)
    text = pipe.maybe_convert_prompt(str(concept), pipe.tokenizer)
    count = len(pipe.tokenizer(text, truncation=False, verbose=False).input_ids)
    if count > limit:
        raise BadValueError(f"the concept has {count} tokens, the text encoder reads {limit}; take terms away, nothing is cut in silence")


def encode_concept(pipe: Any, concept: Concept, arguments: dict[str, Any]) -> Tensor:
    """The concept as the pipeline's own text embeddings, (1, tokens, width), with the call's clip skip and LoRA scale."""
    lora = (arguments.get("cross_attention_kwargs") or {}).get("scale")
    embeddings, _ = pipe.encode_prompt(
        str(concept), pipe._execution_device, 1, False, lora_scale=lora, clip_skip=arguments.get("clip_skip")
    )
    return embeddings
