"""What a run is: everything that determines its images and scores, and nothing else. Knows plain
values; does not know models or files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from safelatent.concepts import DEFAULT_CONCEPT
from safelatent.errors import BadValueError
from safelatent.generation.methods import METHODS

MOST = {"steps": 1000, "images": 10_000, "batch": 10_000}  # schedulers have a thousand noise levels
SIZES = ("prompt", "model")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of a run; a folder holds the images of one of them and refuses any other.

    Attributes:
        prompts, prompts_digest: name and digest of the prompt set (a limit is part of both).
        model, revision, model_digest: its name; the commit of a Hub id, None for other models; a
            hash of its files.
        dtype, device: in which numbers it computes, and on what kind of device.
        scheduler: class and settings.
        steps: denoising steps.
        guidance_scale: for every prompt; None takes the prompt's own.
        size: ``prompt`` for the prompt's own width and height, ``model`` for the model's.
        images: a prompt; image ``n`` starts from the ``n``-th draw of the prompt's seed.
        batch: images in one call.
        methods: of ``METHODS``.
        concept: what is steered away from.
        protocol, protocol_hash: which detectors, and exactly which.

    Raises:
        BadValueError: a value that makes no sense, naming value, rule and remedy.
    """

    prompts: str
    prompts_digest: str
    model: str
    model_digest: str
    scheduler: Mapping[str, Any]
    protocol: str
    protocol_hash: str
    revision: str | None = None
    dtype: str = "float32"
    device: str = "cpu"
    steps: int = 50
    guidance_scale: float | None = None
    size: str = "prompt"
    images: int = 10
    batch: int = 8
    methods: tuple[str, ...] = METHODS
    concept: str = str(DEFAULT_CONCEPT)

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", tuple(self.methods))
        check_counts(steps=self.steps, images=self.images, batch=self.batch)
        check_guidance_scale(self.guidance_scale)
        if self.size not in SIZES:
            raise BadValueError(f"size is {self.size!r}; it must be one of {', '.join(SIZES)}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunSettings:
        """What ``as_dict`` gave.

        Raises:
            BadValueError: a name too many or too few: the folder is another version's.
        """
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise BadValueError(
                f"the run's settings do not fit this version ({', '.join(sorted(set(values) ^ names))}); use another folder"
            )
        return cls(**dict(values))

    def differences(self, other: RunSettings) -> list[str]:
        """What tells ``self`` from ``other``, as ``name: mine, not theirs``."""
        mine, theirs = self.as_dict(), other.as_dict()
        return [
            f"{name} is {_short(mine[name])}, was {_short(theirs[name])}"
            for name in mine
            if mine[name] != theirs[name]
        ]


def check_counts(**counts: object) -> None:
    """Refuse what is no count.

    Raises:
        BadValueError: not a whole number from 1 to what ``MOST`` allows.
    """
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST[name]:
            raise BadValueError(
                f"{name} is {value!r}; it must be a whole number from 1 to {MOST[name]}"
            )


def check_guidance_scale(scale: float | None) -> None:
    """Refuse a scale at which there is nothing to guide.

    Raises:
        BadValueError: not above 1, or not finite.
    """
    if scale is not None and not 1 < scale < float("inf"):
        raise BadValueError(
            f"guidance_scale is {scale!r}; it must be a finite number above 1, or left out for the prompt's own"
        )


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
