"""How much of a prompt a pipeline reads."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any


def default_length(pipe: Any) -> int | None:
    """How many tokens a T5 or a Gemma, which have no limit of their own, read unless the call says otherwise; None without them."""
    parameter = inspect.signature(pipe.__call__).parameters.get("max_sequence_length")
    return None if parameter is None else parameter.default


def reader_of(pipe: Any) -> tuple[Any, int]:
    """The tokenizer that reads most of a prompt, and how many tokens it reads: a T5's or Gemma's, or else CLIP's."""
    named = [getattr(pipe, name, None) for name in ("tokenizer", "tokenizer_2", "tokenizer_3")]
    length = default_length(pipe)
    long = [one for one in named if one is not None and "CLIP" not in type(one).__name__]
    return (long[0], length) if long and length is not None else (pipe.tokenizer, pipe.tokenizer.model_max_length)


def cut_prompts(pipe: Any, prompts: Iterable[str]) -> tuple[list[tuple[str, int]], int]:
    """The prompts that are not read to their end, each with its number of tokens; and how many are read."""
    tokenizer, limit = reader_of(pipe)
    counted = [(text, len(tokenizer(text, truncation=False, verbose=False).input_ids)) for text in prompts]
    return [(text, count) for text, count in counted if count > limit], limit
