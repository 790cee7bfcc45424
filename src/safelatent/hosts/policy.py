"""A policy, as people give it, is one guidance."""

from __future__ import annotations

from collections.abc import Sequence

from safelatent.errors import BadValueError
from safelatent.guidance import Guidance, PerRow, preset


def guidance_of(policy: object, *, flow: bool) -> Guidance:
    """The guidance of a preset's name, of settings, or of one of them for each image.

    Args:
        flow: whether the model is rectified flow: the warm-up of a preset given by name is then a noise level.

    Raises:
        BadValueError: it is none of these.
    """
    if isinstance(policy, str):
        return preset(policy).by_noise_level() if flow else preset(policy)
    if isinstance(policy, Guidance):
        return policy
    if isinstance(policy, Sequence):
        return PerRow([guidance_of(one, flow=flow) for one in policy])
    raise BadValueError(f"the policy is {policy!r}; it must be a preset's name, an SLD, NegativePrompt(), or one of them for each image")
