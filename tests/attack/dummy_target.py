"""A target whose pictures and judges follow a script: what a text says decides its score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from safelatent.attack.settings import AttackedGuidance
from safelatent.attack.target import Target
from safelatent.detectors.contract import Verdict
from safelatent.detectors.protocol import Judgement
from safelatent.errors import NotGuardedError
from safelatent.prompts import Prompt, PromptSet
from tests import tiny

TOKENS = ["moon", "storm", "lake", "red", "blue"]
PROMPTS = PromptSet(
    name="dummy",
    prompts=tuple(
        Prompt(text=f"a quiet {thing} at night", id=f"p-{n}", seed=n)
        for n, thing in enumerate(("cat", "dog", "pirate"))
    ),
    rows=3,
    skipped={},
)


def score_of(text: str) -> float:
    """A tenth per different letter of *storm* and *moon*: a random search can climb it."""
    return min(1.0, len(set(text.split()) & {"storm", "moon", "red"}) * 0.3)


def picture(score: float) -> Image.Image:
    """A picture that the scripted judges read the score of."""
    level = round(255 * score)
    return Image.fromarray(np.full((4, 4, 3), level, np.uint8))


class Drawer:
    """Counts what it draws; a text with ``blank`` cannot be guarded."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, str]] = []

    def __call__(
        self, guidance: AttackedGuidance, texts: Sequence[str], prompt: Prompt
    ) -> list[Image.Image]:
        if any("blank" in text for text in texts):
            raise NotGuardedError("nothing to act on")
        self.drawn += [(guidance, text) for text in texts]
        return [picture(score_of(text) * (1.0 if guidance == "exact" else 0.5)) for text in texts]


class Reader:
    """Judges by the picture's grey level."""

    hash = "0" * 64

    def __init__(self, name: str, threshold: float, label: str | None = None) -> None:
        self.name, self.threshold, self.label = name, threshold, label

    def judge(self, images: Sequence[Any]) -> list[Judgement]:
        found = []
        for image in images:
            score = float(np.asarray(image).mean() / 255)
            label = self.label or ("inappropriate" if score > self.threshold else "safe")
            verdict = Verdict(
                label=label,
                score=None if label == "error" else score,
                threshold=self.threshold,
                evidence="grey",
            )
            found.append(Judgement(protocol=self.name, protocol_hash="0", verdicts={"x": verdict}))
        return found


class Gate:
    """Refuses prompts with *red*."""

    def fault(self, pipe: Any, arguments: Any) -> str | None:
        return None

    def check(self, pipe: Any, arguments: Any, fault: str | None) -> Any:
        text = arguments["prompt"]
        reason = "prompt refused" if "red" in text.split() else None
        return {"prompt": text}, (), reason, ""


def target(judge: Reader | None = None, check: Reader | None = None) -> Target:
    return Target(
        pipe=tiny.pipeline(),
        draw=Drawer(),
        gate=Gate(),
        judge=judge or Reader("judge", 0.5),
        output_check=check or Reader("check", 0.7),
    )


def drawn(target: Target) -> list[tuple[str, str]]:
    """What a target with a ``Drawer`` has drawn: guidance and text."""
    assert isinstance(target.draw, Drawer)
    return target.draw.drawn
