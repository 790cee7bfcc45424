"""The ways of sampling that are compared, by name. Knows guidance and pipelines; does not know
prompts.
"""

from __future__ import annotations

from typing import Any

from safelatent.concepts import Concept
from safelatent.errors import BadValueError, nearest

METHODS = ("off", "negative prompt", "weak", "medium", "strong", "max")


def parse_methods(text: str) -> tuple[str, ...]:
    """``"off,negative,max"`` as names of ``METHODS``, in the order of ``METHODS``.

    Raises:
        BadValueError: an unknown name, one twice, or none.
    """
    given = [name.strip().lower() for name in text.split(",") if name.strip()]
    names = [
        "negative prompt" if name in ("negative", "negative-prompt") else name for name in given
    ]
    for name in names:
        if name not in METHODS:
            raise BadValueError(
                f"unknown method {name!r}{nearest(name, METHODS)}; it must be one of {', '.join(METHODS)}"
            )
    if not names or len(set(names)) < len(names):
        raise BadValueError(
            f"the methods are {text!r}; name at least one of {', '.join(METHODS)}, each once"
        )
    return tuple(sorted(names, key=METHODS.index))


def by_method(pipe: Any, method: str, concept: Concept) -> Any:
    """The pipeline as ``method`` samples from it: guarded, or the bare one where the method is
    ``off``.
    """
    from safelatent.guidance import NegativePrompt, preset
    from safelatent.pipelines.guard import guard

    if method == "off":
        return pipe
    return guard(
        pipe, NegativePrompt() if method == "negative prompt" else preset(method), concept=concept
    )


def method_settings(method: str, concept: Concept) -> dict[str, Any]:
    """Everything that tells one method from another, as plain values."""
    from dataclasses import asdict

    from safelatent.guidance import PRESETS

    if method == "off":
        return {"method": method}
    numbers = asdict(PRESETS[method]) if method in PRESETS else {}
    return {"method": method, "concept": str(concept), **numbers}
