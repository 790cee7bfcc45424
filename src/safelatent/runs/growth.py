"""A command on a folder that holds a run already: resume it, grow it, or refuse. Pure.

A run grows and never shrinks: prompts, images per prompt and methods may be added; what determines
an image (model, steps, concept, ...) or its batch stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt, PromptSet
from safelatent.runs.plan import RunPlan
from safelatent.runs.settings import RunSettings

GROWS = ("prompts", "prompts_digest", "images", "methods")


def grow(plan: RunPlan, settings: RunSettings, prompts: PromptSet) -> RunPlan:
    """Return the plan of a run that now also reaches as far as ``settings`` and ``prompts``.

    New prompts come after those that were there, in their own order. A command that asks for
    nothing new gives back the same plan.

    Raises:
        BadValueError: other settings, fewer images, methods or prompts, or a prompt with an id of
            the run but other values; all differences are named.
    """
    differences = [*_different(plan, settings), *_less(plan, settings, prompts)]
    if differences:
        raise BadValueError("; ".join(differences))
    known = {prompt.id for prompt in plan.prompts}
    added = tuple(prompt for prompt in prompts if prompt.id not in known)
    merged = replace(prompts, prompts=(*plan.prompts, *added))
    now = RunPlan(settings=replace(settings, prompts_digest=merged.digest), prompts=merged)
    same = now.extent == plan.extent
    return replace(now, earlier=plan.earlier if same else (*plan.earlier, plan.extent))


def without_last_growth(plan: RunPlan) -> RunPlan | None:
    """Return the plan as it was before it last grew; None if it never did."""
    if not plan.earlier:
        return None
    *earlier, extent = plan.earlier
    kept = plan.prompts.limit(extent.prompts)
    settings = replace(
        plan.settings,
        prompts=kept.name,
        prompts_digest=kept.digest,
        images=extent.images,
        methods=extent.methods,
    )
    return RunPlan(settings=settings, prompts=kept, earlier=tuple(earlier))


def _different(plan: RunPlan, settings: RunSettings) -> Iterator[str]:
    for name, words in settings.differences(plan.settings).items():
        if name not in GROWS:
            yield words


def _less(plan: RunPlan, settings: RunSettings, prompts: PromptSet) -> Iterator[str]:
    old = plan.settings
    if settings.images < old.images:
        yield f"images is {settings.images}, was {old.images}"
    if left_out := [method for method in old.methods if method not in settings.methods]:
        yield f"methods left out: {', '.join(left_out)}"
    asked = {prompt.id: prompt for prompt in prompts}
    absent = [prompt.id for prompt in plan.prompts if prompt.id not in asked]
    if absent:
        yield f"prompts left out: {len(absent)} ({absent[0]!r} first)"
    changed = [p for p in plan.prompts if p.id in asked and asked[p.id] != p]
    if changed:
        first = changed[0]
        words = _changes(asked[first.id], first)
        yield f"prompts changed: {len(changed)} ({first.id!r} first: {words})"


def _changes(prompt: Prompt, before: Prompt) -> str:
    now, then = asdict(prompt), asdict(before)
    name = next(name for name in now if now[name] != then[name])
    return f"{name} is {now[name]!r:.60}, was {then[name]!r:.60}"
