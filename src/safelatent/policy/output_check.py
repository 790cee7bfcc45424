"""The check after sampling: protocols of the test bed, which fail closed, and what is left of an
image that did not pass.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from safelatent.detectors.contract import Label, joint
from safelatent.detectors.protocol import Protocol
from safelatent.policy.decision import Check, Reason
from safelatent.text import one_line


def judge(protocols: Sequence[Protocol], images: Sequence[Image.Image]) -> list[tuple[Check, ...]]:
    """Return the checks of every image, in order. A protocol that cannot answer is an ``error`` of
    every image.
    """
    rows: list[tuple[Check, ...]] = [() for _ in images]
    for protocol in protocols:
        try:
            found = [
                tuple(
                    Check(
                        name=f"{protocol.name}: {name}",
                        label=verdict.label,
                        score=verdict.score,
                        threshold=verdict.threshold,
                    )
                    for name, verdict in judgement.verdicts.items()
                )
                for judgement in protocol.judge(images)
            ]
        except Exception as error:  # noqa: BLE001  # whatever it raises, nothing was seen as safe
            failed = Check(
                name=f"{protocol.name}: {one_line(error)}",
                label="error",
                score=None,
                threshold=None,
            )
            found = [(failed,)] * len(images)
        rows = [row + own for row, own in zip(rows, found, strict=True)]
    return rows


def finding(checks: Sequence[Check]) -> Reason | None:
    """Return why an image may not be released, or None."""
    if not checks:
        return None
    worst: Label = joint(check.label for check in checks)  # pyright: ignore[reportArgumentType]
    if worst == "error":
        return "checker failed"
    return None if worst == "safe" else "output refused"


def replacement(size: tuple[int, int], message: str) -> Image.Image:
    """Return a grey picture that says why there is no other."""
    page = Image.new("RGB", size, (235, 235, 238))
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=max(8, size[0] // 22))
    lines, line = [], ""
    for word in message.split():
        longer = f"{line} {word}".strip()
        if draw.textlength(longer, font) > 0.9 * size[0] and line:
            lines.append(line)
            line = word
        else:
            line = longer
    text = "\n".join([*lines, line])
    middle = (size[0] / 2, size[1] / 2)
    draw.multiline_text(middle, text, (60, 60, 66), font, anchor="mm", align="center")
    return page
