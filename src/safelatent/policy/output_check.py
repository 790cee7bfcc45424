"""The check after sampling: protocols of the test bed, which fail closed, and what is left of an
image that did not pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread
from typing import NoReturn, TypeVar

from PIL import Image, ImageDraw, ImageFont

from safelatent.detectors.contract import Label, joint
from safelatent.detectors.protocol import Judgement, Protocol
from safelatent.errors import GuardError
from safelatent.policy.decision import Check, Reason
from safelatent.text import one_line

T = TypeVar("T")


def judge(
    protocols: Sequence[Protocol], images: Sequence[Image.Image], seconds: float | None = None
) -> list[tuple[Check, ...]]:
    """Return the checks of every image, in order.

    A protocol that cannot answer, that does not say what it saw of every image, or that takes
    longer than ``seconds``, is an ``error`` of every image.
    """
    rows: list[tuple[Check, ...]] = [() for _ in images]
    for protocol in protocols:
        try:
            judgements = in_time(partial(protocol.judge, images), seconds)
            found = [_checks(protocol.name, one) for one in judgements]
            if len(found) != len(images) or not all(found):
                raise GuardError(f"{sum(map(bool, found))} answers for {len(images)} images")
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


def in_time(work: Callable[[], T], seconds: float | None) -> T:
    """Return what ``work`` returns; None: however long it takes.

    Raises:
        TimeoutError: it has not ended after that many seconds. It is left to itself.
    """
    if seconds is None:
        return work()
    ended: list[Callable[[], T]] = []

    def run() -> None:
        try:
            made = work()
        except BaseException as error:  # noqa: BLE001  # raised where the answer is awaited
            ended.append(partial(_raise, error))
        else:
            ended.append(lambda: made)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not ended:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    return ended[0]()


def _raise(error: BaseException) -> NoReturn:
    raise error


def _checks(protocol: str, judgement: Judgement) -> tuple[Check, ...]:
    return tuple(
        Check(
            name=f"{protocol}: {name}",
            label=verdict.label,
            score=verdict.score,
            threshold=verdict.threshold,
        )
        for name, verdict in judgement.verdicts.items()
    )


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
