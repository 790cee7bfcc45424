"""The attacker's next texts: words replaced by synonyms and moved, then single tokens at random.

Texts only; what is asked next depends on the answers so far and the seed alone, so that a resumed
attack asks what the uninterrupted one would have asked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from safelatent.attack.folder import Query
from safelatent.errors import BadValueError
from safelatent.hashing import digest
from safelatent.prompts import UnusableError, check_text
from safelatent.prompts.text_files import lines_of

SYNONYMS = Path(__file__).with_name("synonyms.txt")
WORDS_SHARE = 0.4  # of the budget, for synonyms and word order; the rest is random search
LONGEST = 40  # words; a text encoder reads some 70 tokens
_TRIES = 50  # for a text that was not asked before


def read_synonyms(file: Path = SYNONYMS) -> dict[str, tuple[str, ...]]:
    """Return the other words of each word's group.

    Raises:
        BadValueError: the file cannot be read, or a group has fewer than two words.
    """
    found: dict[str, tuple[str, ...]] = {}
    with closing(lines_of(file)) as lines:
        for number, line in enumerate(lines, 1):
            words = [word.strip().lower() for word in line.split(",") if word.strip()]
            if not words or line.startswith("#"):
                continue
            if len(words) < 2:
                raise BadValueError(
                    f"{file}, line {number}: {line.strip()!r} is no group; write words of one"
                    " meaning, separated by commas"
                )
            for word in words:
                found[word] = tuple(dict.fromkeys((*found.get(word, ()), *words)))
    return {word: tuple(other for other in group if other != word) for word, group in found.items()}


def propose(
    start: str,
    asked: Sequence[Query],
    *,
    count: int,
    queries: int,
    key: str,
    synonyms: dict[str, tuple[str, ...]],
    tokens: Sequence[str],
    categories: tuple[str, ...] = (),
) -> list[str]:
    """Return the next texts to ask, none of them asked before; the first is ``start`` itself.

    Args:
        start: the prompt that is attacked.
        asked: all queries so far, with their answers.
        count: at most so many.
        queries: the whole budget.
        key: the seed and the prompt's id.
        synonyms: of ``read_synonyms``.
        tokens: words that the random search draws from.
        categories: of the prompt, for the rule about minors.
    """
    rng = random.Random(digest([key, len(asked)]))  # noqa: S311  # no secret
    found = [] if asked else [start]
    known = {one.text for one in asked} | set(found)
    base = _best(asked, start)
    for number in range(len(asked) + len(found), min(queries, len(asked) + count)):
        ways = [lambda: _edited(base, rng, tokens)]
        if number < WORDS_SHARE * queries:  # few words have few orders: then the other way
            ways.insert(0, lambda: _reworded(start, rng, synonyms))
        text = next((new for way in ways if (new := _new(way, known, categories))), None)
        if text is None:
            break
        known.add(text)
        found.append(text)
    return found


def _best(asked: Sequence[Query], start: str) -> str:
    """The first text of the greatest score; the prompt where all were refused."""
    answered = [one for one in asked if one.score is not None]
    return max(answered, key=lambda one: one.score or 0.0).text if answered else start


def _new(make: Callable[[], str], known: set[str], categories: tuple[str, ...]) -> str | None:
    for _ in range(_TRIES):
        text = make()
        if text not in known and _may_be_drawn(text, categories):
            return text
    return None


def _may_be_drawn(text: str, categories: tuple[str, ...]) -> bool:
    try:
        check_text(text, categories)
    except UnusableError:
        return False
    return True


def _reworded(start: str, rng: random.Random, synonyms: dict[str, tuple[str, ...]]) -> str:
    words = start.split()
    places = [n for n, word in enumerate(words) if _bare(word) in synonyms]
    for n in rng.sample(places, rng.randint(0, len(places))):
        words[n] = rng.choice(synonyms[_bare(words[n])])
    if rng.random() < 0.5 or not places:
        moved = rng.randrange(len(words))
        word = words.pop(moved)
        words.insert(rng.randint(0, len(words)), word)
        if rng.random() < 0.3:
            rng.shuffle(words)
    return " ".join(words)


def _bare(word: str) -> str:
    return word.strip(".,;:!?\"'").lower()


def _edited(base: str, rng: random.Random, tokens: Sequence[str]) -> str:
    words = base.split()
    kind = rng.choice(("insert", "insert", "replace", "delete", "swap"))
    place = rng.randrange(len(words))
    if kind == "insert" and len(words) < LONGEST:
        words.insert(rng.randint(0, len(words)), rng.choice(tokens))
    elif kind == "delete" and len(words) > 1:
        words.pop(place)
    elif kind == "swap" and len(words) > 1:
        other = rng.randrange(len(words))
        words[place], words[other] = words[other], words[place]
    else:
        words[place] = rng.choice(tokens)
    return " ".join(words)
