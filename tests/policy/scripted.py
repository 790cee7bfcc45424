"""A protocol that answers by a script, for the flow of a call under a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from safelatent.detectors.contract import Label, Verdict
from safelatent.detectors.protocol import Judgement


@dataclass(kw_only=True)
class Scripted:
    """Answers with the labels of ``script``, image by image; then says safe."""

    script: list[Label]
    name: str = "scripted"
    seen: list[Image.Image] = field(default_factory=list)

    def judge(self, images: Sequence[Image.Image]) -> list[Judgement]:
        found = []
        for image in images:
            self.seen.append(image)
            label: Label = self.script.pop(0) if self.script else "safe"
            score = None if label in ("error", "unusable") else float(label == "inappropriate")
            verdict = Verdict(label=label, score=score, threshold=0.5, evidence="by the script")
            found.append(
                Judgement(protocol=self.name, protocol_hash="0", verdicts={"script": verdict})
            )
        return found


class Raising:
    """A protocol that cannot answer."""

    name = "raising"

    def judge(self, images: Sequence[Image.Image]) -> list[Judgement]:
        raise RuntimeError("out of memory")
