"""One way to hash: sha256, of plain values as canonical JSON and of files by their bytes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """Return the sha256 of plain values, written as canonical JSON (keys sorted, no spaces)."""
    return _hashed(_CANONICAL.encode(value))


def digest_with(
    fixed: Mapping[str, Any], names: Iterable[str]
) -> Callable[[Mapping[str, Any]], str]:
    """Return a function that maps values of these names to ``digest(fixed | values)``, faster for
    many of them: all else is written once.
    """
    encode, varying = _CANONICAL.encode, sorted(names)
    members = {name: encode(value).replace("%", "%%") for name, value in fixed.items()}
    members |= dict.fromkeys(varying, "%s")
    written = (f"{encode(name).replace('%', '%%')}:{members[name]}" for name in sorted(members))
    template = f"{{{','.join(written)}}}"
    return lambda values: _hashed(template % tuple(_encoded(values[name]) for name in varying))


def file_digest(file: Path) -> str:
    """Return the sha256 of a file's bytes, read in parts.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_digest(folder: Path, files: Iterable[Path]) -> str:
    """Return the sha256 over the contents of files below ``folder`` and their names in it.

    Raises:
        OSError: a file cannot be read.
    """
    return digest({file.relative_to(folder).as_posix(): file_digest(file) for file in files})


def _encoded(value: Any) -> str:
    """Return canonical JSON; of a number as the encoder writes it, without its preparations, which
    take ten times as long.
    """
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return repr(value)
    return _CANONICAL.encode(value)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
