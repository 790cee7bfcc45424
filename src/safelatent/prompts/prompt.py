"""One prompt with everything that determines its images, and what makes it usable."""

from __future__ import annotations

import math
from dataclasses import dataclass

from safelatent.concepts import CATEGORY_CONCEPTS
from safelatent.errors import BadValueError
from safelatent.prompts.minors import refused

# The seven of I2P, in the paper's order (Schramowski et al., CVPR 2023).
CATEGORIES = tuple(CATEGORY_CONCEPTS)
MAX_TEXT = 100_000  # characters; a text encoder reads some 300 of them
MAX_SIDE = 2048  # pixels
MAX_SEED = 2**63 - 1
WITHHELD = "[withheld]"
MINORS = "minors with sexual content"  # the reason by which reports count
HARMLESS = "harmless"  # the category of over-refusal sets: refusing such a prompt is a fault
OVERALL = "overall"  # what every table calls all prompts together
_UNFIT_FOR_ID = frozenset('/\\:*?"<>|')


class UnusableError(BadValueError):
    """A prompt from which no image can or may be made.

    Attributes:
        reason: a few words, the same for all prompts of its kind, by which sets count.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One prompt.

    Attributes:
        text: at least one word, at most ``MAX_TEXT`` characters; never words for minors combined
            with sexual content.
        id: name of the prompt within its set, usable as a file name.
        seed: from 0 to 2^63 - 1.
        guidance_scale: above 1; at 1 there is nothing to guide.
        width, height: pixels, multiples of 8 up to ``MAX_SIDE``; None is the model's own.
        categories: what the prompt was collected for; any number of distinct labels.
        hard: I2P's flag: at least half of the published images are inappropriate. None if unknown.
        published: percentage of inappropriate images as published, 0 to 100, or None.
        toxicity: toxicity of the text, 0 to 1, or None.

    Raises:
        UnusableError: no image can or may be made from it, with the reason.
        BadValueError: any other value is out of its range; the message has value, rule and remedy.
    """

    text: str
    id: str
    seed: int = 0
    guidance_scale: float = 7.5
    width: int | None = None
    height: int | None = None
    categories: tuple[str, ...] = ()
    hard: bool | None = None
    published: float | None = None
    toxicity: float | None = None

    def __post_init__(self) -> None:
        _check_id(self.id)
        _check_categories(self.categories)
        check_text(self.text, self.categories)
        if type(self.seed) is not int or not 0 <= self.seed <= MAX_SEED:
            raise BadValueError(
                f"the seed is {self.seed!r}; it must be a whole number from 0 to 2^63 - 1"
            )
        _check_guidance(self.guidance_scale)
        _check_side("width", self.width)
        _check_side("height", self.height)
        if self.hard is not None and type(self.hard) is not bool:
            raise BadValueError(f"hard is {self.hard!r}; it must be True, False or None")
        _check_share("the published percentage", self.published, 100)
        _check_share("the toxicity", self.toxicity, 1)
        for name in ("guidance_scale", "published", "toxicity"):
            if type(value := getattr(self, name)) is int:
                # 7 and 7.0 are one prompt, with one digest.
                object.__setattr__(self, name, float(value))


def _check_id(value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise BadValueError(f"the id is {value!r}; it must be text that is not blank")
    if (
        len(value) > 200
        or value.startswith(".")
        or not value.isprintable()
        or not _UNFIT_FOR_ID.isdisjoint(value)
    ):
        raise BadValueError(
            f"the id is {value[:60]!r}; it names files, so it must have at most 200 printable"
            f" characters, no dot at its start, and none of {' '.join(sorted(_UNFIT_FOR_ID))}:"
            " rename it, or number the rows"
        )


def _check_categories(labels: object) -> None:
    if not isinstance(labels, tuple) or not all(
        isinstance(label, str) and label.strip() for label in labels
    ):
        raise BadValueError(
            f"the categories are {labels!r}; they must be a tuple of labels that are not blank"
        )
    if len(set(labels)) != len(labels):
        raise BadValueError(f"the categories are {labels!r}; give each once")
    for label in labels:
        if label != label.strip() or not label.isprintable() or label == OVERALL:
            raise BadValueError(
                f"the category is {label!r}; it must be printable, without spaces around it, and"
                f" not {OVERALL!r}; rename it"
            )


def check_text(text: object, categories: tuple[str, ...] = ()) -> None:
    """Refuse a text from which no image can or may be made, whoever asks for it.

    Raises:
        UnusableError: ``check_words`` refuses it, it is ``[withheld]``, or it combines minors with
            sexual content.
        BadValueError: it is not text.
    """
    check_words(text)
    assert isinstance(text, str)
    if text.strip() == WITHHELD:
        raise UnusableError(
            f"the prompt is {WITHHELD}: its publisher removed the text; leave it out",
            "withheld",
        )
    if refused(text, categories):
        raise UnusableError(
            f"the prompt {_short(text)} combines words for minors with sexual content; no image is"
            " ever made from it: leave it out",
            MINORS,
        )


def check_words(text: object, what: str = "prompt") -> None:
    """Refuse what no text encoder should read: a text that is blank or longer than ``MAX_TEXT``, or
    that holds a NUL or half of a character.

    Raises:
        UnusableError: it is one of these.
        BadValueError: it is not text.
    """
    if not isinstance(text, str):
        raise BadValueError(f"the {what} is {_short(str(text))}; it must be text")
    if not text.strip() or not (
        text.isprintable() or any(char.isprintable() and not char.isspace() for char in text)
    ):
        raise UnusableError(f"the {what} is {_short(text)}; give at least one word", "empty")
    check_length(text, what)
    if "\0" in text or not _is_unicode(text):
        raise UnusableError(
            f"the {what} holds a NUL or half of a character (is it UTF-8?); remove it",
            "broken characters",
        )


def check_length(text: str, what: str = "prompt") -> None:
    """Refuse a text of more than ``MAX_TEXT`` characters.

    Raises:
        UnusableError: it is longer.
    """
    if len(text) > MAX_TEXT:
        raise UnusableError(
            f"the {what} has {len(text)} characters; give at most {MAX_TEXT}", "too long"
        )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_guidance(scale: object) -> None:
    if type(scale) not in (int, float) or not math.isfinite(scale):  # pyright: ignore[reportArgumentType]
        raise BadValueError(f"the guidance scale is {scale!r}; it must be a finite number above 1")
    if scale <= 1:  # pyright: ignore[reportOperatorIssue]
        raise UnusableError(
            f"the guidance scale is {scale}; at 1 or below there is nothing to guide", "no guidance"
        )


def _check_side(name: str, side: object) -> None:
    if side is None:
        return
    if type(side) is not int:
        raise BadValueError(
            f"the {name} is {side!r}; it must be a whole number of pixels, or None for the model's"
            " own"
        )
    if not 8 <= side <= MAX_SIDE or side % 8:
        raise UnusableError(
            f"the {name} is {side}; it must be a multiple of 8 from 8 to {MAX_SIDE}", "image size"
        )


def _check_share(name: str, value: object, most: int) -> None:
    if value is not None and not (type(value) in (int, float) and 0 <= value <= most):  # pyright: ignore[reportOperatorIssue]
        raise BadValueError(f"{name} is {value!r}; it must be a number from 0 to {most}, or None")
