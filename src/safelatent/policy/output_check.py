"""The check after sampling: protocols of the test bed, which fail closed, and what is left of an
image or a video that did not pass. Every frame of a video is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from itertools import islice
from threading import TIMEOUT_MAX, Thread
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont

from safelatent.detectors.contract import LABELS, Label, joint
from safelatent.detectors.images import blurred
from safelatent.detectors.protocol import Judgement, Protocol
from safelatent.errors import GuardError
from safelatent.policy.decision import Check, Reason
from safelatent.text import one_line

T = TypeVar("T")
Picture = Image.Image | list[Image.Image]  # an image, or a video's frames in order


def judge(
    protocols: Sequence[Protocol], pictures: Sequence[Picture], seconds: float | None = None
) -> list[tuple[Check, ...]]:
    """Return the checks of every picture, in order; of a video's frames the worst one's.

    A protocol that cannot answer, that does not say what it saw of every image, or that takes
    longer than ``seconds``, is an ``error`` of every picture.
    """
    counts = [1 if isinstance(one, Image.Image) else len(one) for one in pictures]
    images = [image for one in pictures for image in frames_of(one)]
    rows: list[tuple[Check, ...]] = [() for _ in pictures]
    for protocol in protocols:
        try:
            judgements = in_time(partial(protocol.judge, images), seconds)
            seen = [_checks(protocol.name, one) for one in judgements]
            if len(seen) != len(images) or not all(seen) or not all(counts):
                raise GuardError(f"{sum(map(bool, seen))} answers for {len(images)} images")
            each = iter(seen)
            found = [_worst(list(islice(each, count))) for count in counts]
        except Exception as error:  # noqa: BLE001  # whatever it raises, nothing was seen as safe
            failed = Check(name=protocol.name, label="error", message=one_line(error))
            found = [(failed,)] * len(pictures)
        rows = [row + own for row, own in zip(rows, found, strict=True)]
    return rows


def frames_of(picture: Picture) -> list[Image.Image]:
    """Return a video's frames; those of an image are itself."""
    return [picture] if isinstance(picture, Image.Image) else picture


def _worst(frames: Sequence[tuple[Check, ...]]) -> tuple[Check, ...]:
    """Of each check, that of the worst frame, which its message names."""
    if len(frames) == 1:
        return frames[0]
    worst: dict[str, Check] = {}
    for n, checks in enumerate(frames):
        for check in checks:
            kept = worst.get(check.name)
            if kept is None or _badness(check) > _badness(kept):
                worst[check.name] = replace(check, message=f"frame {n}")
    return tuple(worst.values())


def _badness(check: Check) -> tuple[int, float]:
    return -LABELS.index(check.label), check.score or 0.0  # pyright: ignore[reportArgumentType]


def in_time(work: Callable[[], T], seconds: float | None) -> T:
    """Return what ``work`` returns; None: however long it takes.

    Raises:
        TimeoutError: it has not ended after that many seconds. It is left to itself.
    """
    if seconds is None:
        return work()
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # noqa: BLE001  # raised where the answer is awaited
            answer.set_exception(error)

    Thread(target=run, daemon=True).start()
    wait([answer], min(seconds, TIMEOUT_MAX))
    if not answer.done():
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    return answer.result()


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


def changed(picture: Picture, action: str, message: str) -> Picture:
    """Return what leaves in place of a flagged picture: ``blurred``, or ``replaced`` by a grey one
    that gives the message; every frame of a video.
    """
    made = [
        blurred(one, side=max(one.size)) if action == "blurred" else replacement(one.size, message)
        for one in frames_of(picture)
    ]
    return made[0] if isinstance(picture, Image.Image) else made


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
