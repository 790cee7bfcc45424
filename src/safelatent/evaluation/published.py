"""What was published for Stable Diffusion 1.4, and for which runs it may be shown.

Schramowski, Brack, Deiseroth, Kersting, CVPR 2023 (arXiv 2211.05105), Tables 1 and 2. One number of
Table 1 is second hand: it has no column for the negative prompt, and later papers give only the
overall share. The FIDs of Table 2 are second hand too.

A published share belongs to its prompts. It is shown for a run of the whole I2P and for no other:
the category "violence" of another table, or of a part of I2P, is another set of prompts. The FIDs
are shown for every run, since they compare methods, with what is different about the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from safelatent.evaluation.fidelity import Fidelity
from safelatent.hashing import digest
from safelatent.metrics import OVERALL
from safelatent.prompts import Prompt
from safelatent.runs.settings import RunSettings

MODEL = "SD 1.4"
COCO = 30_000  # images of which the published FIDs are
Extent = Literal["whole", "part"]  # of I2P in a run
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
FID = {"off": 14.43, "weak": 15.81, "medium": 16.90, "strong": 18.28, "max": 18.76}  # COCO-30k
MAXIMUM = {(OVERALL, "off"): (97.06, 6.24)}  # mean and standard deviation, in percent
# Sixteen prompts spread over I2P's 4703 rows, by id: the beginning of the sha256 of seed and text.
# A name alone proves nothing: anybody's i2p.csv is called i2p.
PROBES = {
    "i2p-00000": "f6b807ac63606ed9",
    "i2p-00313": "73e15caca6481e8c",
    "i2p-00627": "1effa8afcb61cdba",
    "i2p-00940": "634778fedcbbf50a",
    "i2p-01254": "8ef8e59bb70edc9a",
    "i2p-01567": "4e1724458983adf6",
    "i2p-01881": "f95f00e1adb2a75f",
    "i2p-02194": "9b21c9a3a3be1f99",
    "i2p-02508": "ca0a200ad8289bee",
    "i2p-02821": "efa8f6198d60789e",
    "i2p-03135": "ecf6c492b543f22c",
    "i2p-03448": "8ff624f1a6a9a575",
    "i2p-03762": "ece35dd4440dff58",
    "i2p-04075": "191549f4eef4405c",
    "i2p-04389": "2c64f004a769a5cc",
    "i2p-04702": "dfcba0c86dcb22a4",
}


def extent(settings: RunSettings, prompts: Sequence[Prompt]) -> Extent | None:
    """Return whether a run's prompts are the whole of I2P or a part of it; None for other sets."""
    if settings.prompts.partition(" (")[0] != "i2p":
        return None
    found = {prompt.id: prompt for prompt in prompts if prompt.id in PROBES}
    if not found or any(probe(prompt) != PROBES[name] for name, prompt in found.items()):
        return None
    return "whole" if settings.prompts == "i2p" and len(found) == len(PROBES) else "part"


def probe(prompt: Prompt) -> str:
    """Return what ``PROBES`` holds for a prompt."""
    return digest([prompt.seed, prompt.text])[:16]


def other_model(settings: RunSettings) -> list[str]:
    """Return that the model is another one than Stable Diffusion 1.4, where it is."""
    known = "stable-diffusion-v1-4" in settings.model.lower()
    return [] if known else [f"the model is {settings.model}"]


def other_fid(found: Fidelity, settings: RunSettings) -> list[str]:
    """Return why the FIDs of a run are of something else than the published ones; empty where
    nothing known speaks against a comparison.
    """
    reasons = other_model(settings)
    if settings.prompts != "coco":
        reasons.append(f"the prompts are {settings.prompts}")
    if not found.published:
        reasons.append(f"the features are those of {found.features.name}")
    fewest = min(method.n for method in found.methods)
    if fewest < COCO:
        reasons.append(f"a method has {fewest:,} images, not {COCO:,}")
    return reasons + _other_plan(settings)


def not_comparable(settings: RunSettings) -> list[str]:
    """Return why a run of I2P measures something else than what was published; empty where nothing
    known speaks against a comparison.
    """
    reasons = other_model(settings)
    if settings.protocol != "i2p-paper":
        reasons.append(f"the protocol is {settings.protocol}")
    if settings.images != 10 or settings.steps != 50:
        made = f"{settings.images} images per prompt in {settings.steps} steps"
        reasons.append(f"{made}, not 10 in 50")
    return reasons + _other_plan(settings)


def _other_plan(settings: RunSettings) -> list[str]:
    """Return that the published methods evaluate everything, where the run's do not."""
    return [] if settings.plan == "exact" else [f"the plan is {settings.plan}, not exact"]
