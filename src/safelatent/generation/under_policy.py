"""Requests under a policy: what leaves, and what was decided on the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from PIL import Image

from safelatent.generation.request import DEMANDED, Request
from safelatent.generation.sampling import arguments, own_settings
from safelatent.guidance import SLD, PresetName, preset
from safelatent.pipelines.guard import guard
from safelatent.policy import Policy
from safelatent.policy.decision import PolicyReceipt
from safelatent.policy.enforce import UnderPolicy


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What was asked for, what may leave (None: nothing), and why."""

    request: Request
    image: Image.Image | None
    receipt: PolicyReceipt

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, also of an image that was refused."""
        return self.request.facts | {"decision": self.receipt.as_dict()}


def under(pipe: Any, policy: Policy, request: Request) -> UnderPolicy:
    """Return the pipeline under a policy, which the request's safety and concept make stricter.

    A request for ``off``, or for what is demanded, asks for nothing more.
    """
    safety: PresetName | SLD | None = None
    if request.settings:
        safety = own_settings(request)
        if not {"warmup", "warmup_noise_level"} & {name for name, _ in request.settings}:
            named = preset(cast("PresetName", request.safety))
            safety = replace(safety, warmup=named.by_noise_level().warmup)
    elif request.safety not in ("off", DEMANDED):
        safety = cast("PresetName", request.safety)
    if safety is None:
        return guard(pipe, concept=request.concept, policy=policy)
    return guard(pipe, safety, concept=request.concept, policy=policy)


def sample_under(safe: UnderPolicy, requests: Sequence[Request]) -> list[Decided]:
    """Draw one image per request, in one call; the requests differ only in prompt and seed."""
    out = safe(**arguments(requests))
    return [
        Decided(request=request, image=image, receipt=receipt)
        for request, image, receipt in zip(requests, out.images, out.receipts, strict=True)
    ]
