"""The concepts as the denoiser reads them, in as many rows as an evaluation needs.

Of several concepts each image may need another, chosen on the device: its rows are gathered there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from safelatent.guidance import Estimates
from safelatent.guidance.evaluations import Look
from safelatent.pipelines.batches import each_batch

Arguments = dict[str, Any]


class ConceptTexts:
    """The denoiser's text arguments for each concept.

    Args:
        concepts: of each, tensors of one row; position ids have no rows. A choice evaluates the
            first so many of them.
        empty: for the empty prompt, where the guidance needs it beside a negative one.
    """

    def __init__(self, concepts: Sequence[Arguments], empty: Arguments | None = None) -> None:
        self.concepts, self.empty = list(concepts), empty
        self._all = one_batch(concepts) if len(concepts) > 1 else concepts[0]

    @property
    def first(self) -> Arguments:
        """The first concept's, of one row."""
        return self.concepts[0]

    def like(self, arguments: Arguments) -> list[Tensor]:
        """Return the denoiser's arguments that are text, where a concept has its own."""
        return _leaves(arguments, self.first)

    def needed(self, look: Look, chosen: Tensor | None, rows: int) -> list[Arguments]:
        """Return the texts that a look evaluates beside prompt and negative prompt, each in
        ``rows`` rows.

        Args:
            chosen: which concept each image needs, (B,); None where there is one, or all are.
        """
        if look.choices:
            texts = [_expanded(one, rows) for one in self.concepts[: look.choices]]
        elif chosen is not None:
            texts = [_gathered(self._all, self.first, chosen)]
        else:
            texts = [_expanded(self.first, rows)]
        if look.empty == "evaluated" and self.empty is not None:
            texts.append(_expanded(self.empty, rows))
        return texts


def joined(uncond: Tensor | None, prompt: Tensor, found: Sequence[Tensor], look: Look) -> Estimates:
    """Return the estimates of a look, of which ``found`` are those of ``ConceptTexts.needed``."""
    concepts = list(found)
    empty = concepts.pop() if look.empty == "evaluated" and concepts else None
    if look.choices:
        return Estimates(uncond=uncond, prompt=prompt, concepts=tuple(concepts), empty=empty)
    concept = concepts[0] if concepts else None
    return Estimates(uncond=uncond, prompt=prompt, concept=concept, empty=empty)


def one_batch(texts: Sequence[Arguments]) -> Arguments:
    """Return text arguments one after the other in one batch; those without rows stay."""
    if len(texts) == 1:
        return texts[0]
    found: Arguments = {}
    for name, value in texts[0].items():
        values = [text[name] for text in texts]
        if isinstance(value, dict):
            found[name] = one_batch(values)
        else:
            found[name] = value if name == "txt_ids" else torch.cat(values)
    return found


def _leaves(arguments: Arguments, like: Arguments) -> list[Tensor]:
    found: list[Tensor] = []
    for name, value in like.items():
        own = arguments[name]
        found += _leaves(own, value) if isinstance(value, dict) else [own]
    return found


def _expanded(text: Arguments, rows: int) -> Arguments:
    return each_batch(text, 1, lambda one: one.expand(rows, *one.shape[1:]))


def _gathered(every: Arguments, first: Arguments, chosen: Tensor) -> Arguments:
    """Return, for each image, its own concept's row."""
    found: Arguments = {}
    for name, value in every.items():
        if isinstance(value, dict):
            found[name] = _gathered(value, first[name], chosen)
        else:
            has_rows = name != "txt_ids" and len(first[name]) == 1
            found[name] = value.index_select(0, chosen.to(value.device)) if has_rows else value
    return found
