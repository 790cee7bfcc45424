"""diffusers' own pipelines for the same purpose, on the same components.

They call the denoiser on a batch of three estimates. ``SEGA`` is given the paper's concept as one
reversed edit, with the settings that its authors' examples have for edits that remove something:
which they are changes the image, and not the number of evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from safelatent import DEFAULT_CONCEPT, MEDIUM

SAFE, SEGA = "diffusers Safe, medium", "diffusers SEGA"
SAFE_CLASS, SEGA_CLASS = "StableDiffusionPipelineSafe", "SemanticStableDiffusionPipeline"
PAPER_STEPS = 50  # for which warm-ups are meant
# Where each has been, the newest place first.
HOMES = {
    SAFE_CLASS: (
        "diffusers.pipelines.deprecated.stable_diffusion_safe",
        "diffusers.pipelines.stable_diffusion_safe",
    ),
    SEGA_CLASS: (
        "diffusers.pipelines.deprecated.semantic_stable_diffusion",
        "diffusers.pipelines.semantic_stable_diffusion",
    ),
}


def peers(pipe: Any) -> dict[str, Callable[..., Any] | str]:
    """Return each peer, called as ``pipe`` is, or the reason why it is not there."""
    if type(pipe).__name__ != "StableDiffusionPipeline":
        reason = "knows Stable Diffusion 1.x alone"
        return {SAFE: reason, SEGA: reason}
    return {
        SAFE: _or_reason(SAFE_CLASS, safe, pipe),
        SEGA: _or_reason(SEGA_CLASS, sega, pipe),
    }


def safe(pipe: Any, kind: Any) -> Callable[..., Any]:
    """Return ``StableDiffusionPipelineSafe`` with the numbers of *medium*."""
    peer = _on_the_parts_of(pipe, kind)
    peer._safety_text_concept = str(DEFAULT_CONCEPT)
    numbers = {
        "sld_guidance_scale": MEDIUM.scale,
        "sld_warmup_steps": MEDIUM.warmup,
        "sld_threshold": MEDIUM.threshold,
        "sld_momentum_scale": MEDIUM.momentum,
        "sld_mom_beta": MEDIUM.decay,
    }
    return partial(peer, **numbers)


def sega(pipe: Any, kind: Any) -> Callable[..., Any]:
    """Return ``SemanticStableDiffusionPipeline`` that edits the paper's concept out."""
    peer = _on_the_parts_of(pipe, kind)

    def call(*, num_inference_steps: int, **given: Any) -> Any:
        return peer(
            num_inference_steps=num_inference_steps,
            editing_prompt=[str(DEFAULT_CONCEPT)],
            reverse_editing_direction=[True],
            edit_warmup_steps=[10 * num_inference_steps // PAPER_STEPS],
            edit_guidance_scale=[4],
            edit_threshold=[0.95],
            edit_momentum_scale=0.3,
            edit_mom_beta=0.6,
            **given,
        )

    return call


def kind_of(name: str) -> Any:
    """Return the class of this name; None if the installed diffusers has none."""
    for home in HOMES[name]:
        try:
            return getattr(import_module(home), name)
        except (ImportError, AttributeError):
            continue
    return None


def _or_reason(
    name: str, make: Callable[[Any, Any], Callable[..., Any]], pipe: Any
) -> Callable[..., Any] | str:
    kind = kind_of(name)
    return "not in the installed diffusers" if kind is None else make(pipe, kind)


def _on_the_parts_of(pipe: Any, kind: Any) -> Any:
    parts: dict[str, Any] = {
        name: getattr(pipe, name)
        for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    }
    parts |= {"safety_checker": None, "feature_extractor": None}
    peer = kind(**parts, requires_safety_checker=False)
    peer.set_progress_bar_config(disable=True)
    return peer
