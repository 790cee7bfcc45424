"""What the guider uses of ComfyUI, as small as it can be, and samplers to call it: so the tests
need no ComfyUI.

Latents are handed in as the sampler starts from them, and handed out as it leaves them: nothing is
scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor


class EPS:
    sigma_data = 1.0

    def calculate_denoised(self, sigma: Tensor, p: Tensor, x: Tensor) -> Tensor:
        return x - sigma * p


class V_PREDICTION(EPS):  # noqa: N801  # ComfyUI's name
    def calculate_denoised(self, sigma: Tensor, p: Tensor, x: Tensor) -> Tensor:
        alpha = 1 / (1 + sigma**2) ** 0.5
        return alpha**2 * x - sigma * alpha * p


class CONST:
    def calculate_denoised(self, sigma: Tensor, p: Tensor, x: Tensor) -> Tensor:
        return x - sigma * p


KINDS = {"epsilon": EPS, "v_prediction": V_PREDICTION, "flow": CONST}
Predict = Callable[[Tensor, Tensor, Tensor], Tensor]


class Patcher:
    """ComfyUI's MODEL: ``predict(x, sigma, text)`` in the model's own prediction."""

    def __init__(self, predict: Predict, kind: str = "epsilon", **model_options: Any) -> None:
        self.model_options = model_options
        self.model = SimpleNamespace(model_sampling=KINDS[kind](), predict=predict, batches=[])

    def get_model_object(self, name: str) -> Any:
        return getattr(self.model, name)


class CFGGuider:
    def __init__(self, model_patcher: Patcher) -> None:
        self.model_patcher, self.model_options, self.cfg = (
            model_patcher,
            model_patcher.model_options,
            1.0,
        )
        self.original_conds: dict[str, Any] = {}

    def inner_set_conds(self, conds: dict[str, Any]) -> None:
        self.original_conds |= {
            name: [extra | {"cross_attn": text} for text, extra in cond]
            for name, cond in conds.items()
        }

    def __call__(self, x: Tensor, sigma: Tensor, model_options: Any, seed: Any = None) -> Tensor:
        return self.predict_noise(x, sigma, model_options, seed)

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: Any, seed: Any = None
    ) -> Tensor:
        prompt, uncond = calc_cond_batch(
            self.inner_model,
            [self.conds["positive"], self.conds["negative"]],
            x,
            timestep,
            model_options,
        )
        return cfg_function(self.inner_model, prompt, uncond, self.cfg, x, timestep, model_options)

    def sample(
        self,
        noise,
        latent_image,
        sampler,
        sigmas,
        denoise_mask=None,
        callback=None,
        disable_pbar=False,
        seed=None,
    ) -> Tensor:
        self.conds, self.inner_model = dict(self.original_conds), self.model_patcher.model
        return sampler(
            lambda x, sigma: self(x, sigma.expand(len(x)), self.model_options, seed), noise, sigmas
        )


def calc_cond_batch(
    model: Any, conds: list[Any], x: Tensor, timestep: Tensor, model_options: Any
) -> list[Tensor]:
    sigma = timestep.view(-1, *[1] * (x.dim() - 1))
    model.batches.append(len(conds))
    texts = [torch.stack([entry["cross_attn"] for entry in cond]).mean(dim=0) for cond in conds]
    return [
        model.model_sampling.calculate_denoised(sigma, model.predict(x, timestep, text), x)
        for text in texts
    ]


def cfg_function(
    model,
    cond_pred,
    uncond_pred,
    cond_scale,
    x,
    timestep,
    model_options=None,
    cond=None,
    uncond=None,
) -> Tensor:
    result = uncond_pred + (cond_pred - uncond_pred) * cond_scale
    for change in (model_options or {}).get("sampler_post_cfg_function", []):
        result = change(
            {"denoised": result, "cond_denoised": cond_pred, "uncond_denoised": uncond_pred}
        )
    return result


def slope(x: Tensor, sigma: Tensor, denoised: Tensor) -> Tensor:
    return (x - denoised) / sigma


def euler(model: Any, x: Tensor, sigmas: Tensor) -> Tensor:
    for sigma, after in pairwise(sigmas):
        x = x + slope(x, sigma, model(x, sigma)) * (after - sigma)
    return x


def heun(model: Any, x: Tensor, sigmas: Tensor) -> Tensor:
    """The second look of a step is at the next step's sigma, where the next step looks again."""
    for sigma, after in pairwise(sigmas):
        first = slope(x, sigma, model(x, sigma))
        guess = x + first * (after - sigma)
        second = slope(guess, after, model(guess, after)) if after > 0 else first
        x = x + (first + second) / 2 * (after - sigma)
    return x


def midpoint(model: Any, x: Tensor, sigmas: Tensor) -> Tensor:
    """The second look of a step is between it and the next."""
    for sigma, after in pairwise(sigmas):
        middle = (sigma * after) ** 0.5 if after > 0 else sigma / 2
        guess = x + slope(x, sigma, model(x, sigma)) * (middle - sigma)
        x = x + slope(guess, middle, model(guess, middle)) * (after - sigma)
    return x


def modules() -> dict[str, ModuleType]:
    """For ``sys.modules``."""
    comfy, samplers = ModuleType("comfy"), ModuleType("comfy.samplers")
    for part in (CFGGuider, calc_cond_batch, cfg_function):
        setattr(samplers, part.__name__, part)
    comfy.samplers = samplers
    return {"comfy": comfy, "comfy.samplers": samplers}
