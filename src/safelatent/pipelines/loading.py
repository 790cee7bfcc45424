"""``load``: whatever a name stands for, guarded where it was saved guarded.

A guarded folder is no pipeline of diffusers': the model lies one level down and ``safelatent.json``
beside it. So no loader that does not know of the guard finds a pipeline there, and none gives one
out unguarded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safelatent.hub import is_hub_id
from safelatent.models import load_pipeline
from safelatent.models.load import GUARD_FILE
from safelatent.pipelines.guard import guard
from safelatent.pipelines.guard_file import read_guard
from safelatent.pipelines.modular import is_modular_folder, load_modular
from safelatent.pipelines.saved import MODEL


def load(name: str = "embedded", *, revision: str | None = None, **options: Any) -> Any:
    """The pipeline called ``name``; a guarded one where ``name`` was saved guarded.

    Args:
        name: ``embedded`` (comes with the package), a folder in diffusers' layout or saved by a
            guarded pipeline, or a Hub id of either, which is downloaded when it is not in the Hub's
            cache. A folder of that name comes before a Hub id.
        revision: of a Hub id; pin it for anything that is to be repeated.
        options: for diffusers' ``from_pretrained``, for example ``dtype``.

    Raises:
        BadValueError: the name cannot be a model.
        UnsupportedError: the weights are not safetensors, code from the repository was asked for,
            diffusers cannot load the model, or the guard's file is damaged.
    """
    folder = (
        Path(name)
        if Path(name).is_dir()
        else _guarded_on_hub(name, revision)
        if is_hub_id(name)
        else None
    )
    if not name or folder is None or not (folder / GUARD_FILE).exists():
        return load_pipeline(name, revision=revision, **options)
    safety, concept = read_guard(folder)
    if is_modular_folder(folder / MODEL):
        return load_modular(folder / MODEL, safety, concept, **options)
    return guard(load_pipeline(str(folder / MODEL), **options), safety, concept=concept)


def _guarded_on_hub(repo_id: str, revision: str | None) -> Path | None:
    """The folder on this machine of a pipeline that the Hub has guarded. None where it is not, or
    where nobody answers: the plain loader finds no pipeline in a guarded folder.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        hf_hub_download(repo_id, GUARD_FILE, revision=revision)
    except (EntryNotFoundError, OSError):
        return None
    return Path(snapshot_download(repo_id, revision=revision))
