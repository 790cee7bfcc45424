"""Packages that only an extra installs, imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from safelatent.errors import UnsupportedError


def require(module: str, *, extra: str, purpose: str) -> Any:
    """Import ``module``, which comes with ``pip install "safelatent[extra]"``.

    Args:
        module: the dotted name, for example ``pyarrow.parquet``.
        extra: the extra of this package that installs it.
        purpose: what needs it, as the subject of a sentence: "the report".

    Raises:
        UnsupportedError: it is not installed; the message names the pip line.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        remedy = f'pip install "safelatent[{extra}]"'
        raise UnsupportedError(f"{purpose} needs {package}; run {remedy}") from error
