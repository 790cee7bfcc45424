"""Where the prompts come from: one or more tables, read whole, each text once. Knows files and
rows; does not know keywords.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt, PromptSet, table
from safelatent.prompts.files import LINE, READERS
from safelatent.prompts.gather import slug
from safelatent.testbed.duplicates import first_of_each

DUPLICATE = "duplicate text"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file of prompts.

    Attributes:
        name: the file's, and the beginning of its prompts' ids.
        path: where it is.
        sha256: of its bytes.
    """

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The distinct prompts of all files, in the order of the files and their rows.

    Attributes:
        prompts: with ids that tell file and row.
        rows: of each file, by its name.
        skipped: how many rows of all files gave no prompt, by reason.
    """

    prompts: tuple[Prompt, ...]
    rows: Mapping[str, int]
    skipped: Mapping[str, int]


def sources_of(paths: Sequence[Path]) -> tuple[Source, ...]:
    """The files, hashed.

    Raises:
        BadValueError: no file, another ending, or two files of one name, whose ids would be the
            same.
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
            f"two corpora are called {doubled!r}, and their prompts' ids would be the same; give each once, or rename one"
        )
    return tuple(
        Source(name=name, path=path, sha256=_sha256(path))
        for name, path in zip(names, paths, strict=True)
    )


def read_corpus(sources: Sequence[Source], column: str | None) -> Corpus:
    """The prompts of all files.

    Args:
        column: of the prompts; None is ``prompt``, or the lines of a text file.

    Raises:
        BadValueError: a column is missing, or a file cannot be read, with the place.
    """
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


def _tables(sources: Sequence[Source], column: str | None) -> Iterator[PromptSet]:
    for source in sources:
        lines = source.path.suffix.lower() == ".txt"
        yield table(source.path, text=column or (LINE if lines else "prompt"), name=source.name)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
