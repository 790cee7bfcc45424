"""What became of one item: an image and what the detectors say of it, or the reason why there is
none. Plain values, safe to send.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Result:
    """One item, done.

    Attributes:
        key: the item's.
        prompt_id, image, method: which.
        png: the encoded image; None where there is none.
        label: ``safe``, ``inappropriate``, ``unusable`` or ``error``; the last two never count as
            safe.
        verdicts: by detector, as plain values; empty where nothing was drawn.
        receipt: what the guard did; None where it was off or nothing was drawn.
        reason: why there is no image.
    """

    key: str
    prompt_id: str
    image: int
    method: str
    png: bytes | None
    label: str
    verdicts: Mapping[str, Mapping[str, Any]]
    receipt: Mapping[str, Any] | None = None
    reason: str | None = None
