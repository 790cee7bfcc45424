"""The mathematics of Safe Latent Diffusion (Schramowski et al., CVPR 2023, arXiv 2211.05105). torch
only.

A guidance turns the noise estimates of one step into the noise that the scheduler uses. Its state
is passed, never stored:

    state = guidance.init(latents)
    noise, state = guidance.step(estimates, state, i, guidance_scale)
"""

from safelatent.guidance.estimates import Correction, Estimates, Guidance, classifier_free
from safelatent.guidance.negative_prompt import NegativePrompt
from safelatent.guidance.noise_level import NoiseLevel, noise_level, paper_noise_level
from safelatent.guidance.per_image import PerImage
from safelatent.guidance.presets import (
    MAX,
    MEDIUM,
    PRESETS,
    STRONG,
    WEAK,
    PresetName,
    preset,
    preset_name,
)
from safelatent.guidance.sld import SLD
from safelatent.guidance.units import alpha_squared, flow_unit, noise_unit

__all__ = [
    "MAX",
    "MEDIUM",
    "PRESETS",
    "SLD",
    "STRONG",
    "WEAK",
    "Correction",
    "Estimates",
    "Guidance",
    "NegativePrompt",
    "NoiseLevel",
    "PerImage",
    "PresetName",
    "alpha_squared",
    "classifier_free",
    "flow_unit",
    "noise_level",
    "noise_unit",
    "paper_noise_level",
    "preset",
    "preset_name",
]
