"""How a classic pipeline reads text: how much of it, and the concept as the denoiser gets it.

The concept is conditioned as the call's prompt is: the pipeline itself is called on it, up to its
first evaluation. So one text encoder or three, pooled or masked, with a LoRA scale or instructions
around the prompt, and no family needs its own code.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from safelatent.concepts import Concept
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.guidance.ordered_call import no_step
from safelatent.pipelines.classic.families import Family
from safelatent.pipelines.denoiser import CallHook, attached
from safelatent.pipelines.safety import ConceptEmbeds

# The denoiser's arguments that speak of the prompt, at any depth.
TEXT_ARGUMENTS = (
    "encoder_hidden_states",
    "encoder_attention_mask",
    "pooled_projections",
    "text_embeds",
    "txt_ids",
)


def default_length(pipe: Any) -> int | None:
    """Return how many tokens a T5 or a Gemma, which have no limit themselves, read unless the
    call says otherwise; None without them.
    """
    parameter = inspect.signature(pipe.__call__).parameters.get("max_sequence_length")
    return None if parameter is None else parameter.default


def cut_prompts(pipe: Any, prompts: Iterable[str]) -> tuple[list[tuple[str, int]], int]:
    """Return the prompts that the text encoder which reads most cuts, each with its number of
    tokens; and how many tokens that encoder reads.
    """
    readers, _ = _readers(pipe, default_length(pipe))
    own = (pipe.tokenizer, pipe.tokenizer.model_max_length)
    tokenizer, limit = max(readers, key=lambda reader: reader[1], default=own)
    counted = [(text, _count_tokens(tokenizer, text)) for text in prompts]
    return [(text, count) for text, count in counted if count > limit], limit


def check_concept(
    pipe: Any, concept: Concept | ConceptEmbeds, max_sequence_length: int | None = None
) -> None:
    """Refuse a concept that the pipeline could not read, or would cut in silence.

    Args:
        max_sequence_length: of the call, for the encoders that have no limit themselves.

    Raises:
        UnsupportedError: words, and the pipeline has no text encoder for them.
        BadValueError: more tokens than a text encoder reads, or embeddings that do not fit.
    """
    if isinstance(concept, ConceptEmbeds):
        concept.check(type(pipe).__name__, inspect.signature(pipe.__call__).parameters)
        return
    readers, missing = _readers(pipe, max_sequence_length)
    if missing:
        raise UnsupportedError(
            f"this {type(pipe).__name__} has no {' and no '.join(missing)} to read the concept "
            "with; give it as embeddings: concept=ConceptEmbeds(text=..., prompt_embeds=...)"
        )
    for tokenizer, limit in readers:
        text = str(concept)
        if _is_clip(tokenizer) and hasattr(pipe, "maybe_convert_prompt"):
            text = pipe.maybe_convert_prompt(text, tokenizer)
        count = _count_tokens(tokenizer, text)
        if count > limit:
            raise BadValueError(
                f"the concept has {count} tokens, the text encoder reads {limit}; "
                "take terms away, nothing is cut in silence"
            )


def _readers(pipe: Any, max_sequence_length: int | None) -> tuple[list[tuple[Any, int]], list[str]]:
    """Every tokenizer with a text encoder behind it, and how many tokens that one reads; and the
    names of the text encoders and tokenizers that are missing.

    Those without a limit read ``max_sequence_length``; where that is None, they are
    left out.
    """
    found: list[tuple[Any, int]] = []
    missing: list[str] = []
    parts = {name: part for name, part in pipe.components.items() if name.startswith("tokenizer")}
    for name, tokenizer in parts.items():
        encoder_name = name.replace("tokenizer", "text_encoder")
        encoder = getattr(pipe, encoder_name)
        if encoder is None or tokenizer is None:
            pair = {encoder_name: encoder, name: tokenizer}
            if not _may_lack(pipe, pair):
                missing += [one for one, part in pair.items() if part is None]
            continue
        positions = getattr(encoder.config, "max_position_embeddings", None)
        own = _is_clip(tokenizer) and positions
        limit = min(tokenizer.model_max_length, positions) if own else max_sequence_length
        if limit is not None:
            found.append((tokenizer, limit))
    encoders = (getattr(pipe, name.replace("tokenizer", "text_encoder")) for name in parts)
    if all(part is None for part in (*parts.values(), *encoders)):
        missing = ["text encoder"]
    return found, missing


def _may_lack(pipe: Any, pair: Mapping[str, Any]) -> bool:
    """Whether the pipeline reads without a text encoder and its tokenizer: Stable Diffusion 3
    without its T5, XL (its refiner) without its first.
    """
    (name, encoder), (_, tokenizer) = pair.items()
    if name == "text_encoder_3":
        return encoder is None
    optional = name == "text_encoder" and name in pipe._optional_components
    return optional and encoder is None and tokenizer is None


def _is_clip(tokenizer: Any) -> bool:
    """Whether it is CLIP's, which comes with its own limit."""
    return type(tokenizer).__name__.startswith("CLIP")


def _count_tokens(tokenizer: Any, text: str) -> int:
    """Of the whole text, with those of its beginning and end."""
    return len(tokenizer(text, truncation=False, verbose=False).input_ids)


class _FirstEvaluation(Exception):  # noqa: N818  # no error, but the way out
    """Ends a call at its first evaluation, with what the denoiser got."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.arguments = arguments


class _Stop(CallHook):
    def __init__(self, family: Family) -> None:
        super().__init__()
        self.family = family

    def answer(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        raise _FirstEvaluation(self.family.named(args, kwargs))


def encode_concept(
    pipe: Any, family: Family, concept: Concept | ConceptEmbeds, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Return the denoiser's text arguments for the concept, tensors of one row; ``arguments`` are
    the call's own.
    """
    return _text_of(_first_evaluation(pipe, family, concept, arguments), -1)


def encode_empty(pipe: Any, family: Family, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the denoiser's text arguments for no prompt, tensors of one row.

    They are what the pipeline itself evaluates as unconditional where no negative prompt is given.
    """
    row = -1 if family.sequential else 0
    return _text_of(_first_evaluation(pipe, family, "", arguments), row)


def _first_evaluation(
    pipe: Any, family: Family, text: Concept | ConceptEmbeds | str, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Return what the denoiser gets first in a call on ``text``."""
    denoiser = getattr(pipe, family.denoiser)
    call = (
        arguments
        | _instead_of_the_prompt(pipe, text, arguments, denoiser.dtype)
        | {"generator": _copies(arguments.get("generator"))}
    )
    # Of no step there is nothing to decode, which would be an error; a crop must be a picture.
    if "output_type" in call and call.get("padding_mask_crop") is None:
        call["output_type"] = "latent"
    try:
        with attached(denoiser, _Stop(family)), _quietly(pipe), _global_state_kept(pipe, arguments):
            pipe(**call)
    except _FirstEvaluation as reached:
        return reached.arguments
    raise no_step()


def check_width(prompt: dict[str, Any], concept: dict[str, Any]) -> None:
    """Refuse a concept whose embeddings are those of another text encoder than the prompt's.

    Args:
        prompt, concept: the denoiser's arguments.

    Raises:
        BadValueError: naming both widths.
    """
    widths = [one["encoder_hidden_states"].shape[-1] for one in (prompt, concept)]
    if widths[0] != widths[1]:
        raise BadValueError(
            f"the concept's text embeddings have width {widths[1]}, the prompt's {widths[0]}; give "
            "what this pipeline's own encode_prompt makes of the concept's words"
        )


def _instead_of_the_prompt(
    pipe: Any,
    concept: Concept | ConceptEmbeds | str,
    arguments: dict[str, Any],
    dtype: torch.dtype,
) -> dict[str, Any]:
    """The arguments that speak of the prompt, speaking of the concept, for as many rows.

    The negative prompt is the pipeline's default, or, where nothing can be encoded, the concept
    too: of the call that ends at its first evaluation the prompt's half alone is used.
    """
    rows = rows_of(arguments)
    changed: dict[str, Any] = {
        name: None for name in arguments if name.endswith(("prompt_embeds", "attention_mask"))
    }
    texts = ("prompt_2", "prompt_3", "negative_prompt_2", "negative_prompt_3")
    changed |= {name: None for name in texts if name in arguments}
    default = inspect.signature(pipe.__call__).parameters["negative_prompt"].default
    if not isinstance(concept, ConceptEmbeds):
        text = str(concept)
        return changed | {
            "prompt": text if rows is None else [text] * rows,
            "negative_prompt": default,
        }
    return (
        changed
        | concept.rows(rows or 1, pipe._execution_device, dtype)
        | {"prompt": None, "negative_prompt": None}
    )


def rows_of(arguments: Mapping[str, Any]) -> int | None:
    """Return how many prompts the call has; None for a single text."""
    if isinstance(arguments.get("prompt"), list):
        return len(arguments["prompt"])
    embeddings = arguments.get("prompt_embeds")
    return None if embeddings is None else len(embeddings)


def _global_state_kept(pipe: Any, arguments: dict[str, Any]) -> AbstractContextManager[None]:
    """Without a generator the call draws from the global state, which the real one needs: that of
    the CPU and of the pipeline's own GPU. Of all GPUs, torch would warn.
    """
    if arguments.get("generator") is not None:
        return nullcontext()
    device = pipe._execution_device
    return torch.random.fork_rng(devices=(device,) if device.type == "cuda" else ())


def _copies(generator: Any) -> Any:
    """Generators in the same state: the call's own must not be used up."""
    if isinstance(generator, list):
        return [_copies(one) for one in generator]
    if generator is None:
        return None
    return torch.Generator(generator.device).set_state(generator.get_state())


def _text_of(arguments: dict[str, Any], row: int) -> dict[str, Any]:
    """What speaks of the prompt, one row alone: a batch's halves are ``[unconditional, prompt]``,
    and its prompts are all the same.
    """
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in TEXT_ARGUMENTS and isinstance(value, Tensor):
            found[name] = value if name == "txt_ids" else value[[row]]
        elif isinstance(value, dict) and (inner := _text_of(value, row)):
            found[name] = inner
    return found


@contextmanager
def _quietly(pipe: Any) -> Iterator[None]:
    """Without a progress bar."""
    before = copy.copy(getattr(pipe, "_progress_bar_config", None))
    pipe.set_progress_bar_config(disable=True)
    try:
        yield
    finally:
        if before is None:
            del pipe._progress_bar_config
        else:
            pipe._progress_bar_config = before
