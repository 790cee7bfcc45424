"""What each rater sees: which comparisons, in which order, and which image on which side.

Pure functions of the study's seed and the rater's number: nothing is drawn at random when a page is
asked for, so a session can be resumed, and tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, Literal, get_args

from safelatent.errors import BadValueError
from safelatent.generation.methods import ALL_METHODS, Method, parse_methods
from safelatent.hashing import digest
from safelatent.prompts.prompt import MAX_SEED, check_text
from safelatent.text import names_of

Question = Literal["fidelity", "alignment"]
Choice = Literal["left", "same", "right"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
# DrawBench's two (Saharia et al. 2022, arXiv 2205.11487), in our words.
QUESTIONS: Mapping[Question, str] = {
    "fidelity": "Which image is of better quality?",
    "alignment": "Which image fits the text better?",
}
CONSENT = """\
You will see pairs of images that a computer made from a text. For each pair, please say which image
is better, in the way that the page asks.

Some texts and images may be disturbing: violence, nudity or other content that you may not want to
see. Such images are blurred until you ask for them, and you may answer "no difference" without
looking at them. You may stop at any time by closing the page; the link leads back to where you
stopped.

Your answers are stored with the time, under a number. Your name, your address on the network and
your browser are not stored."""
MOST_PAIRS = 1000
MOST_REPEATS = 0.25


@dataclass(frozen=True, kw_only=True)
class ImagePair:
    """Two images of one prompt and one initial noise, by two methods.

    Attributes:
        prompt: its text; never words for minors combined with sexual content.
        prompt_id, categories, image: the prompt's id and categories, and which of its images.
        methods: of the two images.
        pictures: names of their files, which say nothing of the method.
        blurred: whether both are blurred until they are asked for. One alone would be a hint.

    Raises:
        BadValueError: no image may be made from the prompt.
    """

    prompt: str
    prompt_id: str
    categories: tuple[str, ...]
    image: int
    methods: tuple[Method, Method]
    pictures: tuple[str, str]
    blurred: bool

    def __post_init__(self) -> None:
        check_text(self.prompt, self.categories)


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What a study asks of whom.

    Attributes:
        methods: two or more of ``ALL_METHODS``, as text separated by commas or as a sequence.
        questions: of ``QUESTIONS``, likewise.
        pairs: distinct pairs per rater.
        repeats: share of them that a rater sees twice, with the sides swapped.
        seed: of all orders and sides.
        consent: what a rater agrees to before the first pair; paragraphs are separated by blank
            lines.

    Raises:
        BadValueError: a value is of the wrong type or out of range.
    """

    methods: tuple[Method, ...]
    questions: tuple[Question, ...] = get_args(Question)
    pairs: int = 30
    repeats: float = 0.1
    seed: int = 0
    consent: str = CONSENT

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", _methods(self.methods))
        object.__setattr__(self, "questions", parse_questions(self.questions))
        _check_whole("pairs", self.pairs, 1, MOST_PAIRS)
        _check_whole("seed", self.seed, 0, MAX_SEED)
        if (
            isinstance(self.repeats, bool)
            or not isinstance(self.repeats, int | float)
            or not 0 <= self.repeats <= MOST_REPEATS
        ):
            raise BadValueError(
                f"repeats is {self.repeats!r}; it must be a share from 0 to {MOST_REPEATS}"
            )
        if not isinstance(self.consent, str) or not self.consent.strip():
            raise BadValueError("the consent text is empty; say what a rater agrees to")


@dataclass(frozen=True, kw_only=True)
class Showing:
    """One page of a rater.

    Attributes:
        comparison: number of the comparison in the study.
        swapped: whether its second image is on the left.
        repeat: whether the rater has seen it before.
    """

    comparison: int
    swapped: bool
    repeat: bool


def session(
    settings: StudySettings, comparisons: Sequence[ImagePair], rater: int
) -> tuple[Showing, ...]:
    """Return the pages of a rater, in order.

    Comparisons are dealt like cards: each rater gets the next ``settings.pairs`` of one shuffled
    deck, so that any number of raters see each about equally often. For each two methods, the first
    is on the left in half of a rater's pairs. Repeats are of the first third of the session and
    come in its last third.

    Args:
        settings: of the study.
        comparisons: all of the study.
        rater: counted from 1.
    """

    def shuffled(items: Sequence[int], *what: object) -> list[int]:
        return _shuffled(items, settings.seed, *what)

    total = len(comparisons)
    count = min(settings.pairs, total)
    deck = _deck(settings.seed, total)
    hand = [deck[((rater - 1) * count + n) % total] for n in range(count)]
    order = shuffled(hand, "order", rater)
    swapped = _sides(comparisons, shuffled(hand, "sides", rater), settings.seed + rater)
    third = count // 3
    repeated = shuffled(order[:third], "repeats", rater)[: round(settings.repeats * count)]
    first = [Showing(comparison=n, swapped=swapped[n], repeat=False) for n in order]
    again = [Showing(comparison=n, swapped=not swapped[n], repeat=True) for n in repeated]
    last = [*first[count - third :], *again]
    last.sort(key=lambda one: digest([settings.seed, "last", rater, one.comparison, one.repeat]))
    return (*first[: count - third], *last)


def _shuffled(items: Sequence[int], seed: int, *what: object) -> list[int]:
    return sorted(items, key=lambda item: digest([seed, *what, item]))


@lru_cache(maxsize=4)
def _deck(seed: int, total: int) -> tuple[int, ...]:
    """Numbers of all comparisons, shuffled: the same for every rater."""
    return tuple(_shuffled(range(total), seed, "deck"))


def _sides(comparisons: Sequence[ImagePair], hand: Sequence[int], start: int) -> dict[int, bool]:
    """Return whether each comparison is swapped: every other one of each two methods."""

    def methods(number: int) -> tuple[Method, Method]:
        return comparisons[number].methods

    groups = groupby(sorted(hand, key=methods), key=methods)  # stable: shuffled within a group
    return {
        number: bool((start + place) % 2)
        for _, group in groups
        for place, number in enumerate(group)
    }


def parse_questions(given: str | Sequence[str]) -> tuple[Question, ...]:
    """Return the questions in the order of ``QUESTIONS``.

    Raises:
        BadValueError: an unknown question, one twice, or none.
    """
    words = given.split(",") if isinstance(given, str) else given
    return names_of(map(str, words), tuple(QUESTIONS), "question")


def _methods(given: Any) -> tuple[Method, ...]:
    names = parse_methods(given if isinstance(given, str) else ",".join(map(str, given)))
    if len(names) < 2:
        raise BadValueError(
            f"the methods are {given!r}; a study compares two or more of {', '.join(ALL_METHODS)}"
        )
    return names


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise BadValueError(
            f"{name} is {value!r}; it must be a whole number from {least} to {most:,}"
        )
