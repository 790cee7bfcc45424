"""The methods that a run compares, by name: off, and every way to guard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from safelatent.concepts import Concept
from safelatent.text import names_of

if TYPE_CHECKING:
    from safelatent.guidance import PresetName

Method = Literal["off", "negative prompt", "weak", "medium", "strong", "max", "adaptive"]
ALL_METHODS: tuple[Method, ...] = get_args(Method)
METHODS = ALL_METHODS[:-1]  # those of the paper, which are compared unless others are named


def parse_methods(text: str) -> tuple[Method, ...]:
    """Return ``"off,negative,max"`` as names of ``ALL_METHODS``, in their order.

    Raises:
        BadValueError: an unknown name, one twice, or none.
    """
    short = {"negative": "negative prompt", "negative-prompt": "negative prompt"}
    return names_of(text.split(","), ALL_METHODS, "method", short)


def by_method(pipe: Any, method: Method | str, concept: Concept, plan: str = "exact") -> Any:
    """Return the pipeline as ``method`` samples from it: guarded, or the bare one for ``off``.

    Args:
        plan: which evaluations to pay for; the baseline has none to leave out.
    """
    from safelatent.guidance import NegativePrompt, adaptive_of
    from safelatent.pipelines.guard import guard

    if method == "off":
        return pipe
    # A preset by its name: on rectified flow its warm-up is a noise level.
    if method == "negative prompt":
        return guard(pipe, NegativePrompt(), concept=concept)
    if method == "adaptive":
        return guard(pipe, adaptive_of(concept), plan=plan)
    return guard(pipe, cast("PresetName", method), concept=concept, plan=plan)  # which checks it


def method_settings(method: Method | str, concept: Concept, plan: str = "exact") -> dict[str, Any]:
    """Return everything that distinguishes one method from another, as plain values."""
    from dataclasses import asdict

    from safelatent.guidance import PRESETS, adaptive_of

    if method == "off":
        return {"method": method}
    if method == "adaptive":
        own = adaptive_of(concept)
        kept = [asdict(one) | {"concept": str(one.concept)} for one in own.categories]
        return {"method": method, "categories": kept, "plan": plan, **own.plain_settings()}
    numbers = asdict(PRESETS[method]) | {"plan": plan} if method in PRESETS else {}
    return {"method": method, "concept": str(concept), **numbers}
