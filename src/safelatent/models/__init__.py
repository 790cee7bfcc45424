"""A model by name: the embedded one, a local folder, or a Hub id."""

from safelatent.models.load import EMBEDDED, check_name, load

__all__ = ["EMBEDDED", "check_name", "load"]
