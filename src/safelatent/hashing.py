"""One way to hash: sha256, of plain values as canonical JSON and of files by their bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """Return the sha256 of plain values, written as canonical JSON (keys sorted, no spaces)."""
    return _hashed(_CANONICAL.encode(value))


def digest_with(fixed: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], str]:
    """Return a function that maps values to ``digest(fixed | values)``, faster for many values:
    ``fixed`` is written once.
    """
    written = _members(fixed)

    def digest_of(values: Mapping[str, Any]) -> str:
        members = written | _members(values)
        return _hashed(f"{{{','.join(members[name] for name in sorted(members))}}}")

    return digest_of


def file_digest(file: Path) -> str:
    """Return the sha256 of a file's bytes, read in parts.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _members(values: Mapping[str, Any]) -> dict[str, str]:
    """Every name and value as a JSON object has them."""
    encode = _CANONICAL.encode
    return {name: f"{encode(name)}:{encode(value)}" for name, value in values.items()}


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
