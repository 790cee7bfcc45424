"""What every guarded pipeline's saving has in common: the layout of the folder, and the way to the
Hub.
"""

from __future__ import annotations

from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

MODEL = "pipeline"  # the folder of the model within that of a guarded pipeline
COMMIT = "Upload a guarded pipeline"


def push(
    save: Callable[[str], Any], repo_id: str, *, private: bool | None, commit_message: str
) -> str:
    """Upload what ``save`` writes into a folder to ``repo_id``, made when it is not there; returns
    the address of the commit.
    """
    from huggingface_hub import create_repo, upload_folder

    create_repo(repo_id, private=private, exist_ok=True)
    with TemporaryDirectory() as folder:
        save(folder)
        return str(
            upload_folder(repo_id=repo_id, folder_path=folder, commit_message=commit_message)
        )
