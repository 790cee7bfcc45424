"""The prompts of a command: arguments, a file, standard input."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from safelatent.errors import BadValueError
from safelatent.prompts.text_files import lines_of


def prompts_of(arguments: list[str], file: Path | None) -> list[str]:
    """Return the prompts of arguments (``-`` is standard input) and file, without blank lines of
    file and standard input.

    Raises:
        BadValueError: there is none, or a text is not UTF-8.
    """
    texts: list[str] = []
    for text in arguments:
        texts += _piped() if text == "-" else [text]
    if file is not None:
        with closing(lines_of(file)) as lines:
            texts += [line.strip() for line in lines if line.strip()]
    if not texts:
        raise BadValueError(
            "no prompt was given; write one in quotes, or use --file, or '-' for standard input"
        )
    return texts


def _piped() -> list[str]:
    data = sys.stdin.buffer.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        value = data[error.start]
        raise BadValueError(
            f"standard input is not UTF-8 (byte {error.start} is {value:#04x}); save it as UTF-8"
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip()]
