"""What a person asks for, checked before anything heavy is imported."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError, nearest
from safelatent.hashing import digest
from safelatent.prompts import check_text, check_words

SAFETY = ("off", "weak", "medium", "strong", "max", "adaptive")
SAVED = "saved"  # the safety of a pipeline that was saved guarded, whatever it is
DEMANDED = "demanded"  # the safety of a request that asks for what its policy demands
MOST_IMAGES = 10_000  # of one command; a run streams, can be resumed, and has no such limit


@dataclass(frozen=True, kw_only=True)
class Request:
    """One image: everything that determines it.

    Attributes:
        safety: ``off``, a preset, ``adaptive``, ``negative prompt`` for the baseline, ``saved`` for
            a model that was saved guarded, or ``demanded`` for what the policy demands.
        policy: hash of the policy that it is drawn under.
        settings: of SLD, by name, in place of the preset's; ``warmup_noise_level`` is a warm-up as
            a noise level.
        plan: which evaluations to pay for, as ``guidance.Plan`` reads it.
        revision, variant, dtype: of the model's files, where they were named.

    Raises:
        BadValueError: a value that is not allowed, naming value, rule and remedy.
    """

    prompt: str
    model: str = "embedded"
    safety: str = "adaptive"
    concept: Concept = DEFAULT_CONCEPT
    negative_prompt: str | None = None
    seed: int = 0
    steps: int = 50
    guidance_scale: float = 7.5
    settings: tuple[tuple[str, float], ...] = ()
    plan: str = "exact"
    revision: str | None = None
    variant: str | None = None
    dtype: str | None = None
    policy: str | None = None

    def __post_init__(self) -> None:
        check_text(self.prompt)
        if self.negative_prompt is not None:
            # What must not appear may be named there.
            check_words(self.negative_prompt, "negative prompt")
        if self.safety not in (*SAFETY, "negative prompt", SAVED, DEMANDED):
            raise BadValueError(
                f"unknown safety {self.safety!r}{nearest(self.safety, SAFETY)};"
                f" it must be one of {', '.join(SAFETY)}"
            )
        if self.safety == "negative prompt" and self.negative_prompt is not None:
            raise BadValueError(
                "the negative-prompt baseline uses the concept as negative prompt;"
                " leave --negative-prompt out"
            )
        if not 0 <= self.seed < 2**63:
            raise BadValueError(
                f"seed is {self.seed}; it must be a whole number from 0 to 2^63 - 1"
            )
        if not 1 <= self.steps <= 1000:
            raise BadValueError(f"steps is {self.steps}; it must be from 1 to 1000")
        if not (math.isfinite(self.guidance_scale) and self.guidance_scale > 1):
            raise BadValueError(
                f"guidance scale is {self.guidance_scale}; it must be a finite number above 1,"
                " or there is nothing to guide"
            )

    def with_safety(self, safety: str) -> Request:
        """Return the same request with another safety."""
        return replace(self, safety=safety)

    @property
    def name(self) -> str:
        """A file name that shows the prompt and differs with all that determines the image."""
        slug = re.sub(r"[^\w]+", "-", self.prompt.lower()).strip("-")[:48].strip("-") or "image"
        return f"{slug}-{self.safety.replace(' ', '-')}-s{self.seed}-{self.hash[:8]}"

    @property
    def facts(self) -> dict[str, Any]:
        """What was asked for, by the names in an image's receipt."""
        asked = {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "model": self.model,
            "seed": self.seed,
            "steps": self.steps,
        }
        files = {"revision": self.revision, "variant": self.variant, "dtype": self.dtype}
        asked |= {name: value for name, value in files.items() if value is not None}
        return asked | {"guidance_scale": self.guidance_scale, "safety": self.safety}

    @property
    def hash(self) -> str:
        """The sha256 of everything that determines the image."""
        return digest(asdict(self) | {"concept": str(self.concept)})


def check_amount(prompts: int, images: int) -> None:
    """Refuse more images than one command should draw.

    Args:
        prompts: how many.
        images: per prompt.

    Raises:
        BadValueError: ``images`` is below 1, or there are more than ``MOST_IMAGES`` in all.
    """
    if images < 1:
        raise BadValueError(f"images is {images}; it must be a whole number of at least 1")
    if prompts * images > MOST_IMAGES:
        raise BadValueError(
            f"prompts times images is {prompts} x {images} = {prompts * images}, and one command"
            f" draws at most {MOST_IMAGES} images; ask for fewer, or use `safelatent bench run`,"
            " which can be resumed"
        )
