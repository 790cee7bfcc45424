"""Guided sampling once more, from the paper's equations, with the predictions computed one by one:
the tests' own reference.

``predict(x, sigma, text)`` is in the model's own prediction. Units are written out for each kind,
once more and in another form.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Reference:
    """``at(x, sigma, i)`` is the guided denoised latents; the momentum moves on when ``move`` says
    so.
    """

    def __init__(
        self, predict: Any, kind: str, texts: dict[str, Tensor], sld: Any, cfg: float
    ) -> None:
        self.predict, self.kind, self.texts, self.sld, self.cfg = predict, kind, texts, sld, cfg
        self.nu: Tensor | float = 0.0

    def at(self, x: Tensor, sigma: Tensor, i: int, move: bool = True) -> Tensor:
        u, c, s = (
            self.predict(x, sigma.expand(len(x)), self.texts[name])
            for name in ("negative", "positive", "concept")
        )
        d = self._noise(x, sigma, c) - self._noise(x, sigma, s)
        mu = torch.where(
            d < self.sld.threshold,
            torch.clamp(self.sld.scale * d.abs(), max=1.0),
            torch.zeros_like(d),
        )
        gamma = mu * (s - u) + self.sld.momentum * self.nu
        if move:
            self.nu = self.sld.decay * self.nu + (1 - self.sld.decay) * gamma
        return self._clean(
            x, sigma, u + self.cfg * (c - u - (gamma if i >= self.sld.warmup else 0.0))
        )

    def _clean(self, x: Tensor, sigma: Tensor, p: Tensor) -> Tensor:
        if self.kind == "v_prediction":  # v = alpha eps - sigma_t x0, in the latents alpha x
            alpha = torch.rsqrt(1 + sigma**2)
            return alpha * (alpha * x) - (sigma * alpha) * p
        return x - sigma * p

    def _noise(self, x: Tensor, sigma: Tensor, p: Tensor) -> Tensor:
        if self.kind == "v_prediction":
            alpha = torch.rsqrt(1 + sigma**2)
            return alpha * p + (sigma * alpha) * (alpha * x)
        if self.kind == "flow":  # eps = x + (1 - sigma) v
            return x + (1 - sigma) * p
        return p


def steps(sigmas: Tensor) -> list[tuple[int, Tensor, Tensor]]:
    return [(i, sigmas[i], sigmas[i + 1]) for i in range(len(sigmas) - 1)]


def euler(reference: Reference, x: Tensor, sigmas: Tensor) -> Tensor:
    for i, sigma, after in steps(sigmas):
        clean = reference.at(x, sigma, i)
        x = clean + (x - clean) * (after / sigma)
    return x


def heun(reference: Reference, x: Tensor, sigmas: Tensor) -> Tensor:
    for i, sigma, after in steps(sigmas):
        first = (x - reference.at(x, sigma, i)) / sigma
        if after == 0:
            return x - first * sigma
        guess = x + first * (after - sigma)
        second = (guess - reference.at(guess, after, i + 1, move=False)) / after
        x = x + (first + second) * (after - sigma) / 2
    return x


def midpoint(reference: Reference, x: Tensor, sigmas: Tensor) -> Tensor:
    for i, sigma, after in steps(sigmas):
        start = reference.nu
        first = (x - reference.at(x, sigma, i)) / sigma
        moved, reference.nu = reference.nu, start
        middle = torch.sqrt(sigma * after) if after > 0 else sigma / 2
        guess = x + first * (middle - sigma)
        x = x + (guess - reference.at(guess, middle, i, move=False)) / middle * (after - sigma)
        reference.nu = moved
    return x
