"""The methods that a run compares, by name: off, and every way to guard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from safelatent.concepts import Concept
from safelatent.errors import BadValueError, nearest

if TYPE_CHECKING:
    from safelatent.guidance import PresetName

Method = Literal["off", "negative prompt", "weak", "medium", "strong", "max"]
METHODS: tuple[Method, ...] = get_args(Method)


def parse_methods(text: str) -> tuple[Method, ...]:
    """Return ``"off,negative,max"`` as names of ``METHODS``, in the order of ``METHODS``.

    Raises:
        BadValueError: an unknown name, one twice, or none.
    """
    given = [name.strip().lower() for name in text.split(",") if name.strip()]
    short = {"negative": "negative prompt", "negative-prompt": "negative prompt"}
    names = [short.get(name, name) for name in given]
    for name in names:
        if name not in METHODS:
            raise BadValueError(
                f"unknown method {name!r}{nearest(name, METHODS)};"
                f" it must be one of {', '.join(METHODS)}"
            )
    if not names or len(set(names)) < len(names):
        raise BadValueError(
            f"the methods are {text!r}; name at least one of {', '.join(METHODS)}, each once"
        )
    return tuple(method for method in METHODS if method in names)


def by_method(pipe: Any, method: Method | str, concept: Concept, plan: str = "exact") -> Any:
    """Return the pipeline as ``method`` samples from it: guarded, or the bare one for ``off``.

    Args:
        plan: which evaluations to pay for; the baseline has none to leave out.
    """
    from safelatent.guidance import NegativePrompt
    from safelatent.pipelines.guard import guard

    if method == "off":
        return pipe
    # A preset by its name: on rectified flow its warm-up is a noise level.
    if method == "negative prompt":
        return guard(pipe, NegativePrompt(), concept=concept)
    return guard(pipe, cast("PresetName", method), concept=concept, plan=plan)  # which checks it


def method_settings(method: Method | str, concept: Concept) -> dict[str, Any]:
    """Return everything that distinguishes one method from another, as plain values."""
    from dataclasses import asdict

    from safelatent.guidance import PRESETS

    if method == "off":
        return {"method": method}
    numbers = asdict(PRESETS[method]) if method in PRESETS else {}
    return {"method": method, "concept": str(concept), **numbers}
