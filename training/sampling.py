"""The sampler, as the stages need it: from noisy latents to a picture, with gradients where they
are wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import functional_call
from transformers import CLIPTextModel, CLIPTokenizer

from safelatent.guidance import SLD, Correction, Estimates, classifier_free
from safelatent.guidance.noise import PAPER_STEPS
from training.generator import new_scheduler
from training.tokenizer import token_ids
from training.tower import finished
from training.vae import LATENT_SCALE

SCALE = 7.5  # of guidance
FIRST = 981  # the noise level that 50 steps begin at


def falling(first: float, steps: int) -> list[int]:
    """The noise levels of so many steps of the same length, and where the last one ends."""
    return torch.linspace(first, 1, steps + 1).round().long().tolist()


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step of the sampler finds.

    Attributes:
        level: its noise level.
        noisy: what it begins with, (B, C, H, W).
        found: the velocities by each of the texts, (B, C, H, W).
        picture: what it leads to once there is no noise, (B, C, H, W).
    """

    level: int
    noisy: Tensor
    found: tuple[Tensor, ...]
    picture: Tensor


def steps(
    unet: Any,
    alphas: Tensor,
    noisy: Tensor,
    levels: Sequence[int],
    texts: Sequence[Tensor],
    safety: SLD | None = None,
) -> Iterator[Step]:
    """Take the noise from latents (B, C, H, W) in DDIM steps, guided at ``SCALE``.

    Args:
        unet: predicts velocities.
        alphas: the share of signal at every noise level.
        noisy: latents at the first of the ``levels``.
        levels: noise levels, falling; the last is not evaluated.
        texts: states (B, length, width) without words, of the prompts, and of the concepts where
            there is a ``safety``.
    """
    together = torch.cat(list(texts))
    state = torch.zeros_like(noisy)
    for i, (level, following) in enumerate(pairwise(levels)):
        rows = noisy.repeat(len(texts), 1, 1, 1)
        found = unet(rows, level, together).sample.float().chunk(len(texts))
        guided: Estimates | Correction = Estimates(
            uncond=found[0], prompt=found[1], concept=None if safety is None else found[2]
        )
        signal, noise = alphas[level].sqrt(), (1 - alphas[level]).sqrt()
        if safety is not None:
            guided, state = safety.correct(guided, state, i, unit=float(signal))
        velocity = classifier_free(guided, SCALE)
        picture = signal * noisy - noise * velocity  # of velocities: Salimans and Ho, 2022
        yield Step(level=level, noisy=noisy, found=found, picture=picture)
        alpha = alphas[following]
        noisy = alpha.sqrt() * picture + (1 - alpha).sqrt() * (signal * velocity + noise * noisy)


def sampled(
    unet: Any,
    alphas: Tensor,
    noisy: Tensor,
    levels: Sequence[int],
    texts: Sequence[Tensor],
    safety: SLD | None = None,
) -> Tensor:
    """Where ``steps`` lead, (B, C, H, W)."""
    picture = noisy
    for step in steps(unet, alphas, noisy, levels, texts, safety):
        picture = step.picture
    return picture


def in_steps(count: int, settings: SLD) -> SLD:
    """Settings in so many steps, with a warm-up to the noise level at which the paper's ends."""
    return replace(settings, warmup=round(settings.acts_from() * count / PAPER_STEPS))


class FromNoise:
    """Draws from noise what captions say, whatever the token table holds. All else is finished."""

    def __init__(
        self,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        unet: Any,
        device: torch.device,
    ) -> None:
        self.tokenizer = tokenizer
        self.text_encoder = finished(text_encoder, device)
        self.unet = unet.eval().requires_grad_(False).to(device)
        self.alphas = new_scheduler().alphas_cumprod.to(device)
        self.table = cast("Tensor", text_encoder.get_input_embeddings().weight)
        self._name = next(n for n, own in text_encoder.named_parameters() if own is self.table)
        self._nothing = self.states([""], self.table)

    def states(self, captions: Sequence[str], table: Tensor) -> Tensor:
        """The text encoder's last states, (B, POSITIONS, TEXT_WIDTH)."""
        tokens = token_ids(self.tokenizer, captions).to(table.device)
        return functional_call(self.text_encoder, {self._name: table}, (tokens,))[0]

    def __call__(
        self,
        noise: Tensor,
        captions: Sequence[str],
        table: Tensor,
        steps: int,
        first: float = FIRST,
    ) -> Tensor:
        """Where the sampler ends, of deviation 1, (B, C, H, W), with gradients to the ``table``.

        Args:
            noise: of deviation 1.
            captions: one for each.
            table: the token table, (tokens, TEXT_WIDTH).
            steps: how many, of the same length.
            first: the noise level that they begin at.
        """
        levels = falling(first, steps)
        texts = [self._nothing.expand(len(noise), -1, -1), self.states(captions, table)]
        return sampled(self.unet, self.alphas, noise, levels, texts) / LATENT_SCALE
