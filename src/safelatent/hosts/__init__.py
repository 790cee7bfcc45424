"""Where guidance meets a model. One host: the classic Stable Diffusion 1.x / 2.x pipelines of diffusers."""

from safelatent.hosts.classic import CLASSIC_PIPELINES, check_pipeline, encode_concept
from safelatent.hosts.hook import GuidanceHook, Moment, attached
from safelatent.hosts.receipt import Receipt

__all__ = ["CLASSIC_PIPELINES", "GuidanceHook", "Moment", "Receipt", "attached", "check_pipeline", "encode_concept"]
