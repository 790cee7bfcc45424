"""The evaluations of one call of a classic pipeline: one batch, or one call after the other.

For few latents the concept joins the pipeline's batch, which spares a call; for many it is a call
apart, which costs the same and needs no more memory than the pipeline (``JOINED_UP_TO``). Of a
compiled denoiser it is always apart: its calls then have two shapes, with and without the
unconditional half, whatever the plan leaves out, and each shape is compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from safelatent.errors import UnsupportedError
from safelatent.guidance import Estimates
from safelatent.guidance.evaluations import EITHER, Look
from safelatent.guidance.ordered_call import OrderedCall
from safelatent.pipelines.batches import (
    chosen_rows,
    each_batch,
    first_half,
    merged,
    second_half,
    with_second_half_again,
    with_second_half_of,
)
from safelatent.pipelines.classic.concept_texts import ConceptTexts, joined, one_batch
from safelatent.pipelines.classic.families import Family
from safelatent.pipelines.denoiser import ConceptCaches, is_compiled
from safelatent.pipelines.foreign import check_attention, replaced_forward, wrappers

# Positions of the latents in a batch (images x height x width) up to which the concept joins the
# pipeline's batch, by the kind of device: below, a call costs more than its arithmetic. Measured by
# ``python -m benchmarks.joining``.
JOINED_UP_TO = {"cpu": 32 * 32, "cuda": 64 * 64}
ELSEWHERE = JOINED_UP_TO["cuda"]
Arguments = dict[str, Any]


class Evaluating:
    """The denoiser of one call, asked for estimates.

    Args:
        denoiser: the module that predicts.
        family: how it is called.
        texts: of the concepts.
        evaluate: calls it, as it is without the guard's hook.
        joined_up_to: see ``JOINED_UP_TO``; None: by the device.

    Attributes:
        everything: whether the denoiser must see the concept at every step, needed or not.

    Raises:
        UnsupportedError: the denoiser remembers what cannot be kept apart.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        family: Family,
        texts: ConceptTexts,
        evaluate: Callable[..., Any],
        joined_up_to: int | None = None,
    ) -> None:
        check_attention(denoiser, family.denoiser)
        self.family, self.texts, self.joined_up_to = family, texts, joined_up_to
        self.caches, self.wrapped = ConceptCaches(denoiser), bool(wrappers(denoiser))
        self.everything = self.wrapped or self.caches.any
        self.by_position = 0  # how many arguments the pipeline gave by position
        self._call, self._compiled = evaluate, is_compiled(denoiser)
        if self.wrapped and (family.sequential or self.caches.any):
            raise replaced_forward(family.denoiser)

    def evaluate(self, arguments: Arguments) -> Tensor:
        """Call the denoiser with its arguments by position and by name, as the pipeline does."""
        names = self.family.positional[: self.by_position]
        rest = {name: value for name, value in arguments.items() if name not in names}
        return self._call(*(arguments[name] for name in names), **rest, return_dict=False)[0]

    def batched(self, call: OrderedCall, arguments: Arguments, whole: int) -> Estimates:
        """Return the estimates that the call's look needs, of a batch ``[unconditional, prompt]``.

        Args:
            whole: rows of the batch.
        """
        look = call.look
        if not call.guidance.needs_uncond:  # the concept's half replaces the unconditional one
            (text,) = self.texts.needed(look, None, whole // 2)
            halves = merged(
                arguments, text, lambda old, new: torch.cat([new.to(old), second_half(old)])
            )
            concept, prompt = self.evaluate(halves).chunk(2)
            return Estimates(uncond=None, prompt=prompt, concept=concept)
        of_prompt = each_batch(arguments, whole, second_half)
        concept_next = call.concept_next(look)
        if concept_next is not None:
            mixed = self._mixed(concept_next, of_prompt, each_batch(arguments, whole, first_half))
            both = self.evaluate(with_second_half_of(mixed, arguments, whole))
            either, prompt = both.chunk(2)
            return Estimates(uncond=None, prompt=prompt, either=either)
        if look.uncond != "evaluated":  # only in a plan that needs no concept either
            return Estimates(uncond=None, prompt=self.evaluate(of_prompt))
        texts = self.texts.needed(look, call.chosen, whole // 2)
        if self._joins(look, arguments):
            return self._joined(look, arguments, texts, whole)
        uncond, prompt = self.evaluate(arguments).chunk(2)
        if look.concept != "evaluated" and not self.everything:
            return Estimates(uncond=uncond, prompt=prompt)
        return joined(uncond, prompt, [self._of_concept(of_prompt, text) for text in texts], look)

    def after_prompt(
        self, call: OrderedCall, of_prompt: Arguments, prompt: Tensor, arguments: Arguments
    ) -> Estimates:
        """Return the estimates that the call's look needs, of a pipeline that asks for ``prompt``
        first and, with ``arguments``, for the negative prompt afterwards.
        """
        look = call.look
        concept_next = call.concept_next(look)
        if concept_next is not None:
            either = self.evaluate(self._mixed(concept_next, of_prompt, arguments))
            return Estimates(uncond=None, prompt=prompt, either=either)
        own = call.guidance.needs_uncond and self.everything
        uncond = self.evaluate(arguments) if own or look.uncond == "evaluated" else None
        needed = self.everything or look.concept == "evaluated"
        texts = self.texts.needed(look, call.chosen, len(prompt)) if needed else []
        return joined(uncond, prompt, [self._of_concept(of_prompt, text) for text in texts], look)

    def _joined(
        self, look: Look, arguments: Arguments, texts: Sequence[Arguments], whole: int
    ) -> Estimates:
        longer = merged(
            each_batch(arguments, whole, partial(with_second_half_again, times=len(texts))),
            one_batch(texts),
            lambda old, new: torch.cat([old[:whole], new.to(old)]),
        )
        uncond, prompt, *concepts = self.evaluate(longer).chunk(2 + len(texts))
        return joined(uncond, prompt, concepts, look)

    def _joins(self, look: Look, arguments: Arguments) -> bool:
        """Return whether the concept joins the pipeline's batch at this evaluation."""
        shapes = [one["encoder_hidden_states"].shape[1:] for one in (arguments, self.texts.first)]
        fits = shapes[0] == shapes[1]
        if self.wrapped:
            if fits:
                return True
            raise UnsupportedError(
                f"the forward of this {self.family.denoiser} was replaced, and the concept's text "
                "has another shape than the prompt's, so they cannot share a batch; "
                "put the original back"
            )
        latents = self.family.latents(arguments)
        limit = self.joined_up_to
        if limit is None:
            limit = JOINED_UP_TO.get(latents.device.type, ELSEWHERE)
        images = len(latents) // 2
        needed = look.concept == "evaluated" and not self.caches.any and not self._compiled
        return needed and fits and images * latents[0, 0].numel() <= limit

    def _of_concept(self, of_prompt: Arguments, text: Arguments) -> Tensor:
        """Evaluate the prompt's arguments with a concept's text, with its own caches."""
        with self.caches.concept():
            return self.evaluate(_with_text(of_prompt, text))

    def _mixed(self, concept_next: Tensor, of_prompt: Arguments, negative: Arguments) -> Arguments:
        """Return arguments that are the concept's in some rows, the negative prompt's in others."""
        (text,) = self.texts.needed(EITHER, None, len(concept_next))
        return chosen_rows(concept_next, _with_text(of_prompt, text), negative)


def _with_text(of_prompt: Arguments, text: Arguments) -> Arguments:
    # Rows that share their memory would be compiled apart from the prompt's.
    return merged(of_prompt, text, lambda old, new: new.to(old).contiguous())
