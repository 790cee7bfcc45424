"""The classic pipelines: what of a call can be refused before it starts."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from safelatent.errors import NotGuardedError, UnsupportedError, nearest
from safelatent.guidance.noise import whole_number
from safelatent.pipelines.checks import check_texts, checked_scale, is_distilled
from safelatent.pipelines.classic.families import Family

_OLD_ARGUMENTS = {"callback", "callback_steps"}  # read from the pipelines' **kwargs


def check_distilled(pipe: Any, family: Family) -> None:
    """Refuse a model without an unconditional estimate.

    Raises:
        UnsupportedError: naming the pipeline, the reason and the way out.
    """
    if is_distilled(getattr(pipe, family.denoiser)):
        raise UnsupportedError(
            f"cannot guard this {type(pipe).__name__}: its {family.denoiser} is distilled and "
            "makes no unconditional estimate; use the undistilled model"
        )


def bind_call(pipe: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the call's arguments by name, defaults included, by the pipeline's own signature.

    Raises:
        TypeError: an argument that the pipeline does not have. The pipeline would drop it in
            silence, and a misspelt one with it.
    """
    signature = inspect.signature(pipe.__call__)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    rest = arguments.pop("kwargs", {})
    for name in rest.keys() - _OLD_ARGUMENTS:
        raise TypeError(
            f"{type(pipe).__name__} has no argument {name!r}{nearest(name, signature.parameters)}"
        )
    return arguments | rest


class SignedCall:
    """A ``__call__`` that has, on an object, the signature of its pipeline's own: scripts ask a
    pipeline which arguments it takes.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __get__(self, safe: Any, kind: type | None = None) -> Any:
        if safe is None:
            return self.function
        call: Any = partial(self.function, safe)
        call.__signature__ = inspect.signature(safe.pipe.__call__)
        call.__doc__ = self.function.__doc__
        return call


def check_call(pipe: Any, family: Family, arguments: dict[str, Any]) -> dict[str, Any]:
    """Refuse, before anything is computed, a call of which no image could be guarded.

    Returns:
        The arguments, with numbers of any type (NumPy's, fractions, tensors without dimensions) as
        Python's.

    Raises:
        BadValueError: a guidance scale that is not a finite number, steps that are not a positive
            whole number, a prompt that is not text.
        NotGuardedError: classifier-free guidance is off.
    """
    numbers = {family.scale: checked_scale(family.scale, arguments[family.scale])}
    own_steps = arguments.get("timesteps") is None and arguments.get("sigmas") is None
    for name, needed in (("num_inference_steps", own_steps), ("max_sequence_length", False)):
        value = arguments.get(name)
        if needed or value is not None:
            numbers[name] = whole_number(name, value)
    if (
        family.sequential
        and arguments.get("negative_prompt") is None
        and arguments.get("negative_prompt_embeds") is None
    ):
        raise NotGuardedError(
            "without a negative prompt this pipeline makes no unconditional estimate and the guard "
            "could not act; give negative_prompt=''"
        )
    for name in ("prompt", "negative_prompt"):
        check_texts(name, arguments.get(name))
    for name, instead in family.refused.items():
        if arguments.get(name):
            raise NotGuardedError(instead)
    if _guesses(getattr(pipe, "controlnet", None)):
        raise NotGuardedError(
            "this ControlNet's configuration has global_pool_conditions, which switches guess_mode"
            " on, and that runs it without the prompt, which the guard does not know; use another"
        )
    return arguments | numbers


def _guesses(controlnet: Any) -> bool:
    """Return whether the first of a pipeline's ControlNets is always in guess mode."""
    first = next(iter(getattr(controlnet, "nets", [controlnet])), None)
    return bool(getattr(getattr(first, "config", None), "global_pool_conditions", False))
