"""safelatent: Safe Latent Diffusion for every diffusers pipeline, with one line.

    from safelatent import guard, load
    safe = guard(load("embedded"), "strong")
    out = safe("a pirate with a pistol")

Names are imported when they are first used, so that ``import safelatent.guidance`` needs torch
alone.
"""

from typing import TYPE_CHECKING

from safelatent.lazy import lazy_names

if TYPE_CHECKING:
    from safelatent.concepts import CATEGORY_CONCEPTS, DEFAULT_CONCEPT, Concept
    from safelatent.errors import (
        BadValueError,
        GuardError,
        NotGuardedError,
        SafelatentError,
        UnsupportedError,
    )
    from safelatent.guidance import (
        MAX,
        MEDIUM,
        SLD,
        STRONG,
        WEAK,
        Adaptive,
        Category,
        NegativePrompt,
        NoiseLevel,
        Plan,
        preset,
    )
    from safelatent.guidance.receipt import Receipt
    from safelatent.pipelines.guard import guard
    from safelatent.pipelines.guarded import Guarded, GuardedOutput
    from safelatent.pipelines.loading import load
    from safelatent.pipelines.safety import ConceptEmbeds
    from safelatent.runs import run

__version__ = "0.1.0"

__all__ = [
    "CATEGORY_CONCEPTS",
    "DEFAULT_CONCEPT",
    "MAX",
    "MEDIUM",
    "SLD",
    "STRONG",
    "WEAK",
    "Adaptive",
    "BadValueError",
    "Category",
    "Concept",
    "ConceptEmbeds",
    "GuardError",
    "Guarded",
    "GuardedOutput",
    "NegativePrompt",
    "NoiseLevel",
    "NotGuardedError",
    "Plan",
    "Receipt",
    "SafelatentError",
    "UnsupportedError",
    "guard",
    "load",
    "preset",
    "run",
]

_HOMES = {
    "concepts": ("CATEGORY_CONCEPTS", "DEFAULT_CONCEPT", "Concept"),
    "errors": (
        "BadValueError",
        "GuardError",
        "NotGuardedError",
        "SafelatentError",
        "UnsupportedError",
    ),
    "guidance": (
        "MAX",
        "MEDIUM",
        "SLD",
        "STRONG",
        "WEAK",
        "Adaptive",
        "Category",
        "NegativePrompt",
        "NoiseLevel",
        "Plan",
        "preset",
    ),
    "guidance.receipt": ("Receipt",),
    "pipelines.guard": ("guard",),
    "pipelines.guarded": ("Guarded", "GuardedOutput"),
    "pipelines.loading": ("load",),
    "pipelines.safety": ("ConceptEmbeds",),
    "runs": ("run",),
}

if not TYPE_CHECKING:  # to a type checker, a module with __getattr__ has every name
    __getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
