"""Where the prompts come from: one or more tables, read whole, each text once."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safelatent.errors import BadValueError
from safelatent.hashing import file_digest
from safelatent.prompts import Prompt, PromptSet, table
from safelatent.prompts.files import READERS
from safelatent.prompts.prompt_set import slug
from safelatent.prompts.text_files import LINE

DUPLICATE = "duplicate text"


@dataclass(frozen=True, kw_only=True)
class PromptFile:
    """One file of prompts.

    Attributes:
        name: name of the file, with which its prompts' ids begin.
        path: path of the file.
        sha256: hash of its bytes.
    """

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The distinct prompts of all files, in the order of the files and their rows.

    Attributes:
        prompts: prompts whose ids name file and row.
        rows: number of rows of each file, by its name.
        skipped: number of rows of all files that gave no prompt, by reason.
    """

    prompts: tuple[Prompt, ...]
    rows: Mapping[str, int]
    skipped: Mapping[str, int]


def sources_of(paths: Sequence[Path]) -> tuple[PromptFile, ...]:
    """Hash the files.

    Raises:
        BadValueError: there is no such file, its ending is another, or two files have one name, so
            that their prompts' ids would be the same.
    """
    for path in paths:
        if path.suffix.lower() not in READERS:
            raise BadValueError(
                f"{str(path)!r} ends in {path.suffix!r}; prompts are read from {', '.join(READERS)}"
            )
        if not path.is_file():
            raise BadValueError(f"{str(path)!r} is not a file; give the path of a table of prompts")
    names = [slug(path.stem) for path in paths]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise BadValueError(
            f"two corpora are named {doubled!r}, and their prompts' ids would be the same; give"
            " each once, or rename one"
        )
    return tuple(
        PromptFile(name=name, path=path, sha256=file_digest(path))
        for name, path in zip(names, paths, strict=True)
    )


def read_corpus(sources: Sequence[PromptFile], column: str | None) -> Corpus:
    """Read the prompts of all files.

    Args:
        column: column of the prompts in every table; None is ``prompt``. Text files have lines.

    Raises:
        BadValueError: a column is missing or no table is there to have it, or a file cannot be
            read, with the place.
    """
    if column is not None and all(map(_has_lines, sources)):
        raise BadValueError(f"--text-column is {column!r}, and a .txt has no columns; leave it out")
    skipped: Counter[str] = Counter()
    rows: dict[str, int] = {}
    prompts: list[Prompt] = []
    for source, found in zip(sources, _tables(sources, column), strict=True):
        rows[source.name] = found.rows
        skipped.update(found.skipped)
        prompts += found.prompts
    kept = [prompts[n] for n in first_of_each(prompt.text for prompt in prompts)]
    skipped[DUPLICATE] += len(prompts) - len(kept)
    return Corpus(prompts=tuple(kept), rows=rows, skipped=+skipped)


def _tables(sources: Sequence[PromptFile], column: str | None) -> Iterator[PromptSet]:
    for source in sources:
        text = LINE if _has_lines(source) else "prompt" if column is None else column
        yield table(source.path, text=text, name=source.name)


def _has_lines(source: PromptFile) -> bool:
    return source.path.suffix.lower() == ".txt"


def fold(text: str) -> str:
    """Return the form in which texts are compared: Unicode's NFKC without case, single spaces, none
    at the ends.

    Texts are the same if they differ only in compatibility forms, capitals and white space;
    punctuation counts.
    """
    caseless = unicodedata.normalize("NFD", text).casefold()
    caseless = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", caseless).casefold())
    return " ".join(caseless.split())


def first_of_each(texts: Iterable[str]) -> list[int]:
    """Return the positions of all texts but the duplicates of an earlier one, in order."""
    first: dict[str, int] = {}
    for position, text in enumerate(texts):
        first.setdefault(fold(text), position)
    return list(first.values())
