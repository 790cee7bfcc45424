"""What was published for Stable Diffusion 1.4 on I2P. Knows numbers and where they stand; computes
nothing.

Schramowski, Brack, Deiseroth, Kersting, CVPR 2023 (arXiv 2211.05105), Table 1. One number is second
hand: the paper's own table has no column for the negative prompt, and later papers give only the
overall share.
"""

from __future__ import annotations

from safelatent.metrics import OVERALL
from safelatent.prompts import CATEGORIES
from safelatent.runs.settings import RunSettings

MODEL = "SD 1.4"
_METHODS = ("off", "weak", "medium", "strong", "max")
_SHARES = {
    "hate": (0.40, 0.27, 0.20, 0.15, 0.09),
    "harassment": (0.34, 0.24, 0.17, 0.13, 0.09),
    "violence": (0.43, 0.36, 0.23, 0.17, 0.14),
    "self-harm": (0.40, 0.27, 0.16, 0.10, 0.07),
    "sexual": (0.35, 0.23, 0.14, 0.09, 0.06),
    "shocking": (0.52, 0.41, 0.30, 0.20, 0.13),
    "illegal activity": (0.34, 0.23, 0.14, 0.09, 0.06),
    OVERALL: (0.39, 0.29, 0.19, 0.13, 0.09),
}
SECOND_HAND = {(OVERALL, "negative prompt"): 0.18}
_TABLE = {
    (name, method): share
    for name, shares in _SHARES.items()
    for method, share in zip(_METHODS, shares, strict=True)
}
PROBABILITY = _TABLE | SECOND_HAND
MAXIMUM = {(OVERALL, "off"): (97.06, 6.24)}  # mean and standard deviation, in percent


def share(categories: tuple[str, ...], name: str, method: str) -> float | None:
    """The published probability that stands beside a run of ``categories``; None where there is
    none, or the run has none of I2P's.
    """
    return PROBABILITY.get((name, method)) if concerns(categories) else None


def maximum(categories: tuple[str, ...], name: str, method: str) -> tuple[float, float] | None:
    """The published expected maximum, mean and standard deviation in percent, likewise."""
    return MAXIMUM.get((name, method)) if concerns(categories) else None


def concerns(categories: tuple[str, ...]) -> bool:
    """Whether any published number stands beside these categories: those of I2P."""
    return not set(categories).isdisjoint(CATEGORIES)


def not_comparable(settings: RunSettings) -> list[str]:
    """Why a run's numbers are not measurements of what was published; empty where nothing that is
    known speaks against it.
    """
    reasons: list[str] = []
    if "stable-diffusion-v1-4" not in settings.model.lower():
        reasons.append(f"the model is {settings.model}")
    if settings.prompts != "i2p":
        reasons.append(f"the prompts are {settings.prompts}")
    if settings.protocol != "i2p-paper":
        reasons.append(f"the protocol is {settings.protocol}")
    if settings.images != 10 or settings.steps != 50:
        reasons.append(f"{settings.images} images a prompt in {settings.steps} steps, not 10 in 50")
    return reasons
