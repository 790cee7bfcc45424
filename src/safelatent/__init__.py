"""safelatent: Safe Latent Diffusion for every diffusers pipeline, with one line.

    from safelatent import guard, load
    safe = guard(load("embedded"), "strong")
    out = safe("a pirate with a pistol")

Names are imported when they are first used, so that ``import safelatent.guidance`` needs torch
alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
        NegativePrompt,
        NoiseLevel,
        preset,
    )
    from safelatent.guidance.receipt import Receipt
    from safelatent.pipelines.guard import Guarded, guard
    from safelatent.pipelines.loading import load

__version__ = "0.1.0"

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
        "NegativePrompt",
        "NoiseLevel",
        "preset",
    ),
    "guidance.receipt": ("Receipt",),
    "pipelines.guard": ("Guarded", "guard"),
    "pipelines.loading": ("load",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "CATEGORY_CONCEPTS",
    "DEFAULT_CONCEPT",
    "MAX",
    "MEDIUM",
    "SLD",
    "STRONG",
    "WEAK",
    "BadValueError",
    "Concept",
    "GuardError",
    "Guarded",
    "NegativePrompt",
    "NoiseLevel",
    "NotGuardedError",
    "Receipt",
    "SafelatentError",
    "UnsupportedError",
    "guard",
    "load",
    "preset",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'safelatent' has no attribute {name!r}")
    return getattr(import_module(f"safelatent.{_HOME[name]}"), name)
