"""The stages' sampler is the pipeline's."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from safelatent.guidance import STRONG, Estimates, classifier_free
from training.generator import new_scheduler
from training.sampling import SCALE, sampled

SHAPE = (2, 4, 3, 3)
WITHOUT, PROMPT, CONCEPT = (torch.full((2, 5, 8), value) for value in (0.0, 1.0, 2.0))


def unet(noisy, level, text):
    """A velocity that depends on all that it is given."""
    of_text = text.mean(dim=(1, 2))[:, None, None, None]
    return SimpleNamespace(sample=torch.tanh(noisy + 0.3 * of_text) * (1 + int(level) / 1000))


@pytest.mark.parametrize("safety", [None, replace(STRONG, warmup=3)], ids=["plain", "guarded"])
def test_it_ends_where_diffusers_ddim_does(safety):
    scheduler = new_scheduler()
    scheduler.set_timesteps(10)
    levels = [*scheduler.timesteps.tolist(), 0]
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    texts = [WITHOUT, PROMPT] if safety is None else [WITHOUT, PROMPT, CONCEPT]
    made = sampled(unet, scheduler.alphas_cumprod, noise, levels, texts, safety)

    latents, state, picture = noise, torch.zeros(SHAPE), noise
    for i, t in enumerate(scheduler.timesteps):
        u, p, s = (unet(latents, t, text).sample for text in (WITHOUT, PROMPT, CONCEPT))
        guided = Estimates(uncond=u, prompt=p, concept=s)
        if safety is not None:
            unit = float(scheduler.alphas_cumprod[t].sqrt())
            guided, state = safety.correct(guided, state, i, unit=unit)
        found = scheduler.step(classifier_free(guided, SCALE), t, latents)
        latents, picture = found.prev_sample, found.pred_original_sample
    torch.testing.assert_close(made, picture, atol=1e-5, rtol=1e-4)


def test_gradients_come_back_through_every_step():
    words = PROMPT.clone().requires_grad_()
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    levels = [900, 500, 100, 1]
    alphas = new_scheduler().alphas_cumprod
    sampled(unet, alphas, noise, levels, [WITHOUT, words]).sum().backward()
    whole = words.grad.clone()
    assert whole.abs().min() > 0
    words.grad = None
    first = sampled(unet, alphas, noise, levels[:2], [WITHOUT, PROMPT])
    # the last steps alone give another one
    later = alphas[100].sqrt() * first.detach()
    sampled(unet, alphas, later, levels[2:], [WITHOUT, words]).sum().backward()
    assert not torch.allclose(words.grad, whole)
