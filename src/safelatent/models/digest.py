"""A hash of a model's files, so that a result can say exactly which weights made it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safelatent.errors import UnsupportedError

_DETERMINE = (".safetensors", ".json", ".txt")  # weights, configurations, tokenizer files


def model_digest(folder: Path) -> str:
    """sha256 over the names and contents of the files in ``folder`` that determine what the model
    draws.

    Raises:
        UnsupportedError: there is no such file.
    """
    files = sorted(
        path for path in folder.rglob("*") if path.suffix in _DETERMINE and path.is_file()
    )
    if not files:
        raise UnsupportedError(
            f"{folder} holds no model files; give a folder that a diffusers pipeline was saved to"
        )
    state = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        state.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return state.hexdigest()
