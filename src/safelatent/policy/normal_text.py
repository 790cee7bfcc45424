"""The one form of a prompt: what is checked is what is drawn from."""

from __future__ import annotations

import html
import re
import unicodedata

from safelatent.errors import BadValueError
from safelatent.prompts.prompt import check_length

_HIDDEN = ("Cf", "Cc", "Cs", "Co", "Cn")
# Drawn as nothing, which no category says: blank letters and signs, joiners of marks, vowels.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
# What emoji and some scripts need: non-joiner, joiner, and selectors of how a letter is drawn.
_JOINERS = re.compile("([\u200c\u200d\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]+)")
MOST_PASSES = 16  # two or three serve any text that hides nothing in layers
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU")


def normal_text(text: str) -> str:
    """Return the one form of a prompt that is checked and drawn from.

    Compatibility forms are replaced (full-width letters, ligatures), and so are HTML's codes of
    characters (``&#105;``), which some pipelines replace after every check; characters that cannot
    be seen are removed, spaces joined. The joiners of emoji and of scripts that need them stay, but
    none at a Latin letter. The form of a form is itself.

    Raises:
        UnusableError: it is longer than any prompt may be.
        BadValueError: a word mixes the letters of scripts that look alike, or codes of characters
            hide others.
    """
    for _ in range(MOST_PASSES):
        cleaned = _cleaned(text)
        if cleaned == text:
            break
        text = cleaned  # what is removed can leave letters to compose
    else:
        raise BadValueError(
            "the prompt hides characters in codes of characters (&amp;amp;#105;), again and again;"
            " write them as they are"
        )
    words = text.split()
    for word in words:
        scripts = {name for c in word if c.isalpha() for name in _SCRIPTS if _is_of(name, c)}
        if len(scripts) > 1:
            raise BadValueError(
                f"the prompt's word {word!r} mixes {' and '.join(sorted(scripts)).lower()} letters,"
                " which look alike; write it in one script"
            )
    return " ".join(words)


def _is_of(script: str, character: str) -> bool:
    return unicodedata.name(character, "").startswith(script)


def _cleaned(text: str) -> str:
    check_length(text)
    composed = unicodedata.normalize("NFKC", html.unescape(text))
    check_length(composed)
    pieces = _JOINERS.split(_seen(composed))
    for n in range(1, len(pieces), 2):  # the joiners between two texts
        if any(_is_of("LATIN", c) for c in (pieces[n - 1][-1:], pieces[n + 1][:1]) if c):
            pieces[n] = ""
    return "".join(pieces)


def _seen(text: str) -> str:
    """The text without what cannot be seen, but for joiners; every space and break is a space."""
    return "".join(
        " " if c.isspace() else c
        for c in text
        if c.isspace()
        or _JOINERS.match(c)
        or (c not in _BLANK and unicodedata.category(c) not in _HIDDEN)
    )
