"""A model by name: the embedded one, a local folder, or a Hub id."""

from safelatent.models.digest import model_digest
from safelatent.models.load import EMBEDDED, check_name, load_pipeline, model_folder

__all__ = ["EMBEDDED", "check_name", "load_pipeline", "model_digest", "model_folder"]
