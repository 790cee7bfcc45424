"""Names on the Hugging Face Hub: their form, and the revisions that stay as they are."""

from __future__ import annotations

import re
from pathlib import Path

from safelatent.errors import BadValueError

_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub_id(name: str) -> bool:
    """Return whether ``name`` has the form ``owner/name`` and is no file or folder here."""
    return bool(_NAME.fullmatch(name)) and not Path(name).exists()


def check_commit(name: str, revision: str | None) -> None:
    """Refuse a revision of the Hub id ``name`` that may be another one tomorrow.

    Raises:
        BadValueError: the revision is no commit.
    """
    if revision is None or not _COMMIT.fullmatch(revision):
        raise BadValueError(
            f"the revision of {name!r} is {revision!r}; name its commit (40 hexadecimal digits), "
            "so that it stays"
        )
