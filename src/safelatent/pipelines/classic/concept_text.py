"""The concept as a pipeline's own text conditioning, whatever that is made of: the pipeline is
called on it, up to its first evaluation.

So one text encoder or three, pooled or masked, with clip skip, LoRA scale or instructions around
the prompt: the concept is conditioned as the call's prompt is, and no family needs code of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from diffusers.hooks import ModelHook
from torch import Tensor, nn

from safelatent.concepts import Concept
from safelatent.errors import BadValueError, GuardError
from safelatent.pipelines.classic.families import Family
from safelatent.pipelines.denoiser import attached
from safelatent.pipelines.prompt_length import count_tokens, is_clip, readers

# The denoiser's arguments that speak of the prompt, at any depth.
TEXT_ARGUMENTS = (
    "encoder_hidden_states",
    "encoder_attention_mask",
    "pooled_projections",
    "text_embeds",
    "txt_ids",
)


class _FirstEvaluation(Exception):  # noqa: N818  # no error, but the way out
    """Ends a call at its first evaluation, with what the denoiser got."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.arguments = arguments


class _Stop(ModelHook):
    def __init__(self, family: Family) -> None:
        super().__init__()
        self.family = family

    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        raise _FirstEvaluation(self.family.named(args, kwargs))


def encode_concept(
    pipe: Any, family: Family, concept: Concept, arguments: dict[str, Any]
) -> dict[str, Any]:
    """The denoiser's text arguments for the concept, tensors of one row; ``arguments`` are the
    call's own.
    """
    call = (
        arguments
        | _instead_of_the_prompt(str(concept), arguments)
        | {"generator": _copies(arguments.get("generator"))}
    )
    try:
        with (
            attached(getattr(pipe, family.denoiser), _Stop(family)),
            _quietly(pipe),
            _global_state_kept(arguments),
        ):
            pipe(**call)
    except _FirstEvaluation as reached:
        return _text_of(reached.arguments)
    raise GuardError(
        f"{type(pipe).__name__} made an image without asking its {family.denoiser}; it cannot be guarded"
    )


def check_concept(pipe: Any, concept: Concept, max_sequence_length: int | None = None) -> None:
    """Refuse a concept that a text encoder would cut in silence.

    Args:
        max_sequence_length: of the call, for the encoders that have no limit of their own.

    Raises:
        BadValueError: more tokens than a text encoder reads.
    """
    for tokenizer, limit in readers(pipe, max_sequence_length):
        converts = is_clip(tokenizer) and hasattr(pipe, "maybe_convert_prompt")
        count = count_tokens(
            tokenizer,
            pipe.maybe_convert_prompt(str(concept), tokenizer) if converts else str(concept),
        )
        if count > limit:
            raise BadValueError(
                f"the concept has {count} tokens, the text encoder reads {limit}; take terms away, nothing is cut in silence"
            )


def _instead_of_the_prompt(concept: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that speak of the prompt, speaking of the concept, for as many rows."""
    embeddings = arguments.get("prompt_embeds")
    rows = (
        len(arguments["prompt"])
        if isinstance(arguments.get("prompt"), list)
        else None
        if embeddings is None
        else len(embeddings)
    )
    changed: dict[str, Any] = {
        name: None
        for name in arguments
        if name.endswith(("prompt_embeds", "prompt_attention_mask"))
    }
    changed |= {name: None for name in ("prompt_2", "prompt_3") if name in arguments}
    return changed | {"prompt": concept if rows is None else [concept] * rows}


def _global_state_kept(arguments: dict[str, Any]) -> AbstractContextManager[None]:
    """Without a generator the call draws from the global state, which must be there for the real
    one.
    """
    return torch.random.fork_rng() if arguments.get("generator") is None else nullcontext()


def _copies(generator: Any) -> Any:
    """Generators in the same state: the call's own must not be used up."""
    if isinstance(generator, list):
        return [_copies(one) for one in generator]
    return (
        None
        if generator is None
        else torch.Generator(generator.device).set_state(generator.get_state())
    )


def _text_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """What speaks of the prompt, the last row alone: a batch's halves are ``[unconditional,
    prompt]``, and its prompts are all the same.
    """
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in TEXT_ARGUMENTS and isinstance(value, Tensor):
            found[name] = value if name == "txt_ids" else value[-1:]
        elif isinstance(value, dict) and (inner := _text_of(value)):
            found[name] = inner
    return found


@contextmanager
def _quietly(pipe: Any) -> Iterator[None]:
    """Without a progress bar of its own."""
    before = copy.copy(getattr(pipe, "_progress_bar_config", None))
    pipe.set_progress_bar_config(disable=True)
    try:
        yield
    finally:
        if before is None:
            del pipe._progress_bar_config
        else:
            pipe._progress_bar_config = before
