"""A safety, as people give it, is one guidance."""

from __future__ import annotations

from collections.abc import Sequence

from safelatent.errors import BadValueError
from safelatent.guidance import Guidance, PerImage, preset


def guidance_of(safety: object, *, flow: bool) -> Guidance:
    """The guidance of a preset's name, of settings, or of one of them for each image.

    Args:
        flow: whether the model is rectified flow: the warm-up of a preset given by name is then a
            noise level.

    Raises:
        BadValueError: it is none of these.
    """
    if isinstance(safety, str):
        return preset(safety).by_noise_level() if flow else preset(safety)
    if isinstance(safety, Guidance):
        return safety
    if isinstance(safety, Sequence):
        return PerImage([guidance_of(one, flow=flow) for one in safety])
    raise BadValueError(
        f"the safety is {safety!r}; it must be a preset's name, an SLD, NegativePrompt(), or one of them for each image"
    )
