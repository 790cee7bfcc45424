"""Concepts as a pipeline encodes them, kept from one call to the next while nothing changed.

What changes after guarding is seen by the next call: another text encoder, LoRA, dtype or device,
or another argument of the call. What cannot be compared (adapters, hooks, replaced methods) is
encoded anew in every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from safelatent.concepts import Concept
from safelatent.pipelines.foreign import torch_hooks, wrappers
from safelatent.pipelines.safety import ConceptEmbeds

SAMPLED = 8  # values of each weight that are compared: a merged LoRA changes nearly all of them
_PLAIN = (bool, int, float, str, type(None))


class EncodedConcepts:
    """The last concepts that were encoded; a copy begins empty."""

    def __init__(self) -> None:
        # The key, what must live so that another object cannot have its identity, and the texts: in
        # one value, since calls of two threads may be under way.
        self._kept: tuple[Any, Any, list[dict[str, Any]]] = None, None, []

    def __reduce__(self) -> Any:
        return EncodedConcepts, ()

    def get(
        self,
        encode: Callable[[Any], dict[str, Any]],
        pipe: Any,
        concepts: Sequence[Concept | ConceptEmbeds],
        read: Mapping[str, Any],
        block: Any = None,
    ) -> list[dict[str, Any]]:
        """Return what ``encode`` makes of each concept, or made of it where nothing changed.

        Args:
            pipe: its parts that read text are compared.
            read: what the texts depend on beside these parts, by name.
            block: of a modular pipeline, the one that encodes.
        """
        key = _key(pipe, concepts, read, block)
        before, _, encoded = self._kept
        if key is None or key != before:
            encoded = [encode(one) for one in concepts]
            self._kept = key, (dict(pipe.components), tuple(concepts), block), encoded
        return encoded


def _key(
    pipe: Any, concepts: Sequence[Concept | ConceptEmbeds], read: Mapping[str, Any], block: Any
) -> Any:
    """Return all that determines how concepts are encoded; None if it cannot be compared."""
    if not all(isinstance(value, _PLAIN) for value in read.values()) or _has_own_code(pipe, block):
        return None
    words = [str(one) if isinstance(one, Concept) else id(one) for one in concepts]
    parts = {n: part for n, part in pipe.components.items() if _reads_text(n) and part is not None}
    marks = {name: _mark(part) for name, part in parts.items()}
    if None in marks.values():
        return None
    denoisers = [
        pipe.components[n] for n in ("unet", "transformer") if pipe.components.get(n) is not None
    ]
    rows = [_token_rows(parts, str(one)) for one in concepts if isinstance(one, Concept)]
    where = [(str(one.device), str(one.dtype), _autocast(one.device.type)) for one in denoisers]
    return words, sorted(read.items()), marks, rows, where, id(block)


def _has_own_code(pipe: Any, block: Any) -> bool:
    """Whether somebody replaced a method that encodes, or wrote the block that does."""
    if block is not None and not type(block).__module__.startswith("diffusers."):
        return True
    owners = [pipe] if block is None else [pipe, block]
    return any({"encode_prompt", "_encode_prompt"} & vars(one).keys() for one in owners)


def _reads_text(name: str) -> bool:
    return "text" in name or "token" in name or name.startswith("processor")


def _autocast(device: str) -> torch.dtype | None:
    """Return the dtype in which ``torch.autocast`` computes now; None outside of it."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def _mark(part: Any) -> Any:
    """Return what differs where a text encoder or a tokenizer changed; None if that is unknown."""
    if not isinstance(part, nn.Module):
        known = hasattr(part, "model_max_length")  # a processor has a tokenizer, and much beside it
        return (id(part), len(part), part.model_max_length) if known else None
    tensors = [*part.parameters(), *part.buffers()]
    foreign = any(
        type(module).__module__.startswith("peft") or torch_hooks(module)
        for module in part.modules()
    )
    if foreign or wrappers(part) or any(t.is_meta or t.is_inference() for t in tensors):
        return None
    identities = [(t.data_ptr(), t._version, t.shape, t.dtype, str(t.device)) for t in tensors]
    return id(part), part.training, identities, _sampled(tensors)


@torch.no_grad()
def _token_rows(parts: Mapping[str, Any], words: str) -> list[float]:
    """Return a sum of each row of the text encoders' embeddings that the words read: a single row
    may change (a token that is learnt or edited), which a few values of the whole do not show.
    """
    found: list[float] = []
    for name, tokenizer in parts.items():
        encoder = parts.get(name.replace("tokenizer", "text_encoder"))
        if name.startswith("tokenizer") and tokenizer is not None and encoder is not None:
            weight = encoder.get_input_embeddings().weight
            ids = torch.tensor(tokenizer(words, verbose=False).input_ids, device=weight.device)
            found += weight[ids].float().sum(dim=1).tolist()  # pyright: ignore[reportUnknownMemberType]
    return found


@torch.no_grad()
def _sampled(tensors: Sequence[Tensor]) -> list[float]:
    """Return a few values of each tensor, evenly spread, read at once for each device."""
    found: list[float] = []
    for device in {t.device for t in tensors}:
        own = [t.detach().flatten() for t in tensors if t.device == device and t.numel()]
        spread = [t[:: max(1, len(t) // SAMPLED)][:SAMPLED].float() for t in own]
        found += torch.cat(spread).tolist()  # pyright: ignore[reportUnknownMemberType]
    return found
