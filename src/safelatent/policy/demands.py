"""What a policy demands: of the guidance, and where it says nothing.

A field that a policy leaves out demands something too: *medium*, away from the paper's terms, and
of a flagged image that it is refused. ``settled`` says it in the policy's own words, so that
``effective``, what holds where a request meets a policy, is never less than the policy alone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, TypeVar, overload

import msgspec

from safelatent.concepts import CATEGORY_CONCEPTS, DEFAULT_CONCEPT, CategoryName, Concept
from safelatent.errors import BadValueError
from safelatent.guidance import PRESETS, SLD, Adaptive, Category, NoiseLevel, PresetName
from safelatent.policy.join import LEVELS, join, joined_settings, settings_of
from safelatent.policy.parts import CLASSIFIER_THRESHOLD, PolicyPart, Settings
from safelatent.policy.policy import Policy

P = TypeVar("P", bound=PolicyPart)


def guidance(policy: Policy) -> SLD:
    """Return the settings that a policy demands: at least its level, that of every category, and
    its single settings. *medium*, where it names none.

    The warm-up is a noise level, so that they mean the same for any number of steps.
    """
    levels: list[PresetName] = [] if policy.least is None else [policy.least]
    levels.extend(policy.categories.values())
    wanted = policy.settings
    for level in levels:
        wanted = joined_settings(wanted, _of_level(level))
    asked = msgspec.structs.asdict(wanted)
    if not levels:
        base = msgspec.structs.asdict(_of_level("medium"))
        asked = {name: base[name] if value is None else value for name, value in asked.items()}
    return SLD(warmup=NoiseLevel(asked.pop("noise_level")), **asked)


def demanded(policy: Policy) -> SLD | Adaptive:
    """Return the guidance that a policy demands: the settings of ``guidance`` away from its concept
    or, where it is adaptive, each category at its own level and the terms of ``concepts`` at the
    policy's least. I2P's categories, where it names neither.
    """
    policy = settled(policy)
    if policy.guidance != "adaptive":
        return guidance(policy)

    def strength(own: dict[CategoryName, PresetName]) -> SLD:
        return guidance(msgspec.structs.replace(policy, categories=own))

    kept = [
        Category(name=name, concept=CATEGORY_CONCEPTS[name], strength=strength({name: level}))
        for name, level in policy.categories.items()
    ]
    if policy.concepts:
        terms = Concept(terms=policy.concepts)
        kept.append(Category(name="concepts", concept=terms, strength=strength({})))
    return Adaptive(categories=tuple(kept))


def effective(policy: Policy, request: Policy) -> Policy:
    """Return what holds where a request meets a policy: their join, once the policy has said what
    it demands where it says nothing, so that no request fills that in with less.

    Raises:
        BadValueError: as ``join``; the request names a concept that the policy does not; or a
            threshold for prompts, and the policy leaves it to its calibration.
    """
    own, floor = policy.prompt, settled(policy)
    if own.calibration and own.threshold is None and request.prompt.threshold is not None:
        raise BadValueError(
            f"the request's threshold for prompts is {request.prompt.threshold:g}, and the policy"
            " leaves it to its calibration; leave it out"
        )
    _check_concepts(floor, request)
    return join(floor, msgspec.structs.replace(request, concepts=()))


def _check_concepts(floor: Policy, request: Policy) -> None:
    """Refuse concepts beside the policy's, which would act less: in one text, each term has a
    smaller share; among categories, another may be nearer to the prompt and be chosen instead.

    Raises:
        BadValueError: naming the first of them.
    """
    own = floor.concept
    more = own.with_terms(*request.concepts).terms[len(own.terms) :]
    more += tuple(name for name in request.categories if name not in floor.categories)
    if more:
        raise BadValueError(
            f"the request's concept names {more[0]!r}, and the policy does not; beside it the"
            " policy's own would act less: leave it out, or add it to the policy"
        )


def settled(policy: Policy) -> Policy:
    """Return the policy with what it demands where it says nothing, in words that a request joins
    and cannot lower: the exact form, the numbers of *medium*, and the paper's terms or, where it is
    adaptive, I2P's categories; of a flagged image that it is refused at once.
    """
    adaptive = policy.guidance == "adaptive"
    silent = not policy.concepts and not policy.categories
    said: dict[str, Any] = {
        "guidance": policy.guidance or "exact",
        "output": _filled(policy.output, retries=0, finding="refuse"),
    }
    if policy.prompt.classifier is not None:
        said["prompt"] = _filled(policy.prompt, classifier_threshold=CLASSIFIER_THRESHOLD)
    if silent and adaptive:
        said["categories"] = dict.fromkeys(CATEGORY_CONCEPTS, policy.least or LEVELS[0])
    elif silent:
        said["concepts"] = DEFAULT_CONCEPT.terms
    if policy.least is None and (not policy.categories or (adaptive and policy.concepts)):
        bare = msgspec.structs.replace(policy, categories={})
        said["settings"] = settings_of(guidance(bare))
    return msgspec.structs.replace(policy, **said)


def _filled(part: P, **defaults: Any) -> P:
    """The table with these values where it has none."""
    missing = {name: value for name, value in defaults.items() if getattr(part, name) is None}
    return msgspec.structs.replace(part, **missing)


def is_at_least(settings: SLD | Adaptive, method: str) -> bool:
    """Return whether settings are in everything at least those of a run's method, by its name: a
    preset, or ``adaptive``, which is I2P's categories at *strong*.
    """
    if isinstance(settings, Adaptive):
        kept = settings.names == Adaptive().names and method == "adaptive"
        return kept and all(is_at_least(one.strength, "strong") for one in settings.categories)
    if method not in PRESETS:
        return False
    own = settings_of(settings)
    return joined_settings(own, _of_level(method)) == own


def concept_beside(settings: SLD | Adaptive, policy: Policy) -> Concept:
    """Return the concept to guard with beside ``settings``; an ``Adaptive`` has its own."""
    return DEFAULT_CONCEPT if isinstance(settings, Adaptive) else policy.concept


@overload
def next_level(settings: SLD) -> SLD | None: ...
@overload
def next_level(settings: SLD | Adaptive) -> SLD | Adaptive | None: ...


def next_level(settings: SLD | Adaptive) -> SLD | Adaptive | None:
    """Return the least preset that is stronger than ``settings``, joined with them, or each
    category at its next level; None if they are at least *max*.
    """
    if isinstance(settings, Adaptive):
        raised = [(one, next_level(one.strength)) for one in settings.categories]
        if all(stronger is None for _, stronger in raised):
            return None
        kept = (replace(one, strength=stronger or one.strength) for one, stronger in raised)
        return replace(settings, categories=tuple(kept))
    own = settings_of(settings)
    for level in LEVELS:
        joined = joined_settings(own, _of_level(level))
        if joined != own:
            return guidance(Policy(least=level, settings=own))
    return None


@cache
def _of_level(level: PresetName) -> Settings:
    return settings_of(PRESETS[level].by_noise_level())
