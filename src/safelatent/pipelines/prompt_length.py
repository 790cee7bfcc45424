"""How much of a prompt a pipeline reads."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any


def default_length(pipe: Any) -> int | None:
    """How many tokens a T5 or a Gemma, which have no limit of their own, read unless the call says
    otherwise; None without them.
    """
    parameter = inspect.signature(pipe.__call__).parameters.get("max_sequence_length")
    return None if parameter is None else parameter.default


def readers(pipe: Any, max_sequence_length: int | None) -> list[tuple[Any, int]]:
    """Every tokenizer with a text encoder behind it, and how many tokens that one reads.

    Those without a limit of their own read ``max_sequence_length``; where that is None, they are
    left out.
    """
    found: list[tuple[Any, int]] = []
    for name, tokenizer in pipe.components.items():
        if not name.startswith("tokenizer") or tokenizer is None:
            continue
        positions = getattr(
            getattr(pipe, name.replace("tokenizer", "text_encoder")).config,
            "max_position_embeddings",
            None,
        )
        limit = (
            min(tokenizer.model_max_length, positions)
            if is_clip(tokenizer) and positions
            else max_sequence_length
        )
        if limit is not None:
            found.append((tokenizer, limit))
    return found


def is_clip(tokenizer: Any) -> bool:
    """Whether it is CLIP's, which comes with a limit of its own."""
    return type(tokenizer).__name__.startswith("CLIP")


def cut_prompts(pipe: Any, prompts: Iterable[str]) -> tuple[list[tuple[str, int]], int]:
    """The prompts that the text encoder which reads most cuts, each with its number of tokens; and
    how many tokens it reads.
    """
    own = (pipe.tokenizer, pipe.tokenizer.model_max_length)
    tokenizer, limit = max(
        readers(pipe, default_length(pipe)), key=lambda reader: reader[1], default=own
    )
    counted = [(text, count_tokens(tokenizer, text)) for text in prompts]
    return [(text, count) for text, count in counted if count > limit], limit


def count_tokens(tokenizer: Any, text: str) -> int:
    """Of the whole text, with those of its beginning and end."""
    return len(tokenizer(text, truncation=False, verbose=False).input_ids)
