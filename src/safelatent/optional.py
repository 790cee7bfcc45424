"""Packages that come with the extra ``bench``, imported when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from safelatent.errors import UnsupportedError


def needed(module: str) -> Any:
    """The module.

    Raises:
        UnsupportedError: it is not installed; the message names the pip line.
    """
    try:
        return import_module(module)
    except ImportError:
        raise UnsupportedError(
            f'the report needs {module.split(".")[0]}; run pip install "safelatent[bench]"'
        ) from None
