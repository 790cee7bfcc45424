"""One file of a data set on the Hugging Face Hub, because the user named it. Knows how to ask; does
not know what the file holds.
"""

from __future__ import annotations

from pathlib import Path

from safelatent.errors import UnsupportedError
from safelatent.hub import is_hub_id
from safelatent.prompts.files import READERS


def is_data_set(source: str | Path) -> bool:
    """Whether ``source`` is a Hub id that does not end like a table's file: a misspelt path asks no
    hub.
    """
    return (
        isinstance(source, str) and is_hub_id(source) and Path(source).suffix.lower() not in READERS
    )


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
