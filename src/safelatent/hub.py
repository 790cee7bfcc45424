"""Names on the Hugging Face Hub: which could be one, and which revision of one stays as it is."""

from __future__ import annotations

import re
from pathlib import Path

from safelatent.errors import BadValueError

_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub_id(name: str) -> bool:
    """Whether ``name`` has the form ``owner/name``, and no file or folder here has that name."""
    return bool(_NAME.fullmatch(name)) and not Path(name).exists()


def check_commit(name: str, revision: str | None) -> None:
    """Refuse a revision of the Hub id ``name`` that may be another one tomorrow.

    Raises:
        BadValueError: it is no commit.
    """
    if revision is None or not _COMMIT.fullmatch(revision):
        raise BadValueError(
            f"the revision of {name!r} is {revision!r}; name its commit (40 hexadecimal digits), so that it stays"
        )
