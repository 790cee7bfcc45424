"""A model by name: the embedded one, a local folder, or a Hub id."""

from safelatent.models.folder import FolderKind, folder_kind, model_digest
from safelatent.models.load import EMBEDDED, check_name, load_pipeline, model_folder

__all__ = [
    "EMBEDDED",
    "FolderKind",
    "check_name",
    "folder_kind",
    "load_pipeline",
    "model_digest",
    "model_folder",
]
