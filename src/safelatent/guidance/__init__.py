"""The mathematics of Safe Latent Diffusion (Schramowski et al., CVPR 2023, arXiv 2211.05105).

torch only. A guidance corrects the model's predictions of one step; classifier-free guidance of
the corrected ones is the noise that the scheduler uses. Its state is passed, never stored:

    state = guidance.init(latents)
    correction, state = guidance.correct(estimates, state, i)
    noise = classifier_free(correction, guidance_scale)
"""

from safelatent.guidance.adaptive import Adaptive, adaptive_of
from safelatent.guidance.categories import Category, categories
from safelatent.guidance.estimates import Correction, Estimates, Guidance, classifier_free
from safelatent.guidance.negative_prompt import NegativePrompt
from safelatent.guidance.noise import NoiseLevel, flow_unit, noise_level, paper_noise_level
from safelatent.guidance.per_image import PerImage
from safelatent.guidance.plan import EXACT, FAST, Plan
from safelatent.guidance.sld import (
    MAX,
    MEDIUM,
    PRESETS,
    SLD,
    STRONG,
    WEAK,
    PresetName,
    preset,
    preset_name,
)

__all__ = [
    "EXACT",
    "FAST",
    "MAX",
    "MEDIUM",
    "PRESETS",
    "SLD",
    "STRONG",
    "WEAK",
    "Adaptive",
    "Category",
    "Correction",
    "Estimates",
    "Guidance",
    "NegativePrompt",
    "NoiseLevel",
    "PerImage",
    "Plan",
    "PresetName",
    "adaptive_of",
    "categories",
    "classifier_free",
    "flow_unit",
    "noise_level",
    "paper_noise_level",
    "preset",
    "preset_name",
]
