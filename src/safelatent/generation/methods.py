"""The methods that a run compares, by name: off, and every way to guard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from safelatent.concepts import Concept
from safelatent.text import names_of

if TYPE_CHECKING:
    from safelatent.guidance import PresetName

Method = Literal["off", "negative prompt", "weak", "medium", "strong", "max", "adaptive"]
ALL_METHODS: tuple[Method, ...] = get_args(Method)
METHODS = ALL_METHODS[:-1]  # those of the paper, which are compared unless others are named
# As they are named in lists that are separated by commas, on the command line and in errors.
WORDS: dict[str, Method] = {name.removesuffix(" prompt"): name for name in ALL_METHODS}


def parse_methods(text: str) -> tuple[Method, ...]:
    """Return ``"off,negative,max"`` as names of ``ALL_METHODS``, in their order.

    Raises:
        BadValueError: an unknown name, one twice, or none.
    """
    long = {name: word for word, name in WORDS.items()} | {"negative-prompt": "negative"}
    return tuple(WORDS[word] for word in names_of(text.split(","), tuple(WORDS), "method", long))


def methods_text(methods: Sequence[Method]) -> str:
    """Return methods as ``parse_methods`` reads them: ``"off,negative,max"``."""
    return ",".join(word for word, name in WORDS.items() if name in methods)


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
