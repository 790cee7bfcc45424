"""Where guidance meets a model: the classic pipelines of diffusers, by a hook on the denoiser that is there for one call."""

from safelatent.hosts.attached import attached
from safelatent.hosts.families import FAMILIES, Family, family_of
from safelatent.hosts.hook import GuidanceHook
from safelatent.hosts.receipt import Receipt
from safelatent.hosts.run import Moment

__all__ = ["FAMILIES", "Family", "GuidanceHook", "Moment", "Receipt", "attached", "family_of"]
