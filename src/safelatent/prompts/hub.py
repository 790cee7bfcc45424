"""One file of a data set on the Hugging Face Hub, because the user named it. Knows how to ask; does not know what the file holds."""

from __future__ import annotations

import re
from pathlib import Path

from safelatent.errors import UnsupportedError
from safelatent.prompts.files import READERS

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def is_hub_id(source: str | Path) -> bool:
    """Whether ``source`` has the form ``owner/name``, and neither is a file here nor ends like one, so that a misspelt path asks no hub."""
    path = Path(source)
    return isinstance(source, str) and bool(_HUB_ID.fullmatch(source)) and path.suffix.lower() not in READERS and not path.exists()


def fetch(repository: str, filename: str, revision: str | None) -> Path:
    """The file, from the Hub's cache or else downloaded.

    Raises:
        UnsupportedError: it is not in the cache and cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, filename, repo_type="dataset", revision=revision))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UnsupportedError(
            f"cannot download {filename!r} of the data set {repository!r}: {reason}; download it yourself and give its path"
        ) from error
