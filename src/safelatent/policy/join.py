"""The order of policies, and their join: what holds where a policy and a request meet.

Policy ``b`` is at least as strict as ``a``, ``covers(b, a)``, where every field of ``b`` demands at
least what that of ``a`` does:

    level            weak < medium < strong < max; a field that says nothing is below all
    settings         by number: noise level, scale, threshold, momentum, decay
    concepts         as sets of terms
    categories       as sets, each with its level
    guidance         neither is stricter: a field that says nothing is below both
    prompt check     a lower threshold is stricter; a check is stricter than none
    output check     as sets of protocols; blur < replace < refuse; fewer retries
    limits           a lower limit is stricter, and more steps at least
    targets          lower shares, more images

``join(a, b)`` is the least policy that covers both. So joining is idempotent, commutative (but for
the name and the order of terms) and associative, and a request can only make a policy stricter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar, cast, get_args, overload

import msgspec

from safelatent.concepts import CATEGORY_CONCEPTS, DEFAULT_CONCEPT, CategoryName, Concept
from safelatent.errors import BadValueError
from safelatent.guidance import (
    MEDIUM,
    PRESETS,
    SLD,
    Adaptive,
    Category,
    NoiseLevel,
    PresetName,
    preset,
)
from safelatent.policy.parts import Finding, Limits, OutputRules, PromptRules, Settings, Targets
from safelatent.policy.policy import Policy

T = TypeVar("T")
LEVELS: tuple[PresetName, ...] = tuple(PRESETS)
FINDINGS: tuple[Finding, ...] = get_args(Finding)


def join(policy: Policy, request: Policy) -> Policy:
    """Return the least policy that demands what both demand; its name is the first's.

    Raises:
        BadValueError: both name a guidance, a calibration or a classifier, and not the same one, or
            the limits of both together allow no call.
    """
    levels = dict(policy.categories)
    for category, level in request.categories.items():
        own = levels.get(category)
        if own is None or LEVELS.index(own) < LEVELS.index(level):
            levels[category] = level
    return Policy(
        name=policy.name or request.name,
        least=_higher(LEVELS, policy.least, request.least),
        settings=_settings(policy.settings, request.settings),
        concepts=_terms(policy.concepts, request.concepts),
        categories=levels,
        guidance=cast("Any", _one("guidance", policy.guidance, request.guidance)),
        prompt=_prompt(policy.prompt, request.prompt),
        output=_output(policy.output, request.output),
        limits=_limits(policy.limits, request.limits),
        targets=_targets(policy.targets, request.targets),
    )


def covers(policy: Policy, other: Policy) -> bool:
    """Whether ``policy`` demands at least what ``other`` does."""
    try:
        joined = join(policy, other)
    except BadValueError:  # they contradict one another
        return False
    return msgspec.structs.replace(joined, name=policy.name) == policy


def request_of(safety: PresetName | SLD | None = None, concept: Concept | None = None) -> Policy:
    """Return what a call asks for as a policy.

    Raises:
        BadValueError: an unknown preset, another kind of safety, or settings whose warm-up is a
            number of steps: how much noise that leaves depends on the call.
    """
    terms = () if concept is None else concept.terms
    if safety is None:
        return Policy(concepts=terms)
    if isinstance(safety, str):
        preset(safety)
        return Policy(least=safety, concepts=terms)
    if not isinstance(safety, SLD):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
        raise BadValueError(
            f"under a policy the safety is {safety!r}; it must be a preset's name or an SLD, for"
            " all images of a call"
        )
    return Policy(settings=_of_sld(safety), concepts=terms)


def guidance(policy: Policy) -> SLD:
    """Return the settings that a policy demands: at least its level, that of every category, and
    its single settings. *medium*, where it names none.

    The warm-up is a noise level, so that they mean the same for any number of steps.
    """
    levels: list[PresetName] = [] if policy.least is None else [policy.least]
    levels.extend(policy.categories.values())
    wanted = policy.settings
    for level in levels:
        wanted = _settings(wanted, _of_sld(PRESETS[level].by_noise_level()))
    asked = msgspec.structs.asdict(wanted)
    if not levels:
        base = msgspec.structs.asdict(_of_sld(MEDIUM.by_noise_level()))
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


def settled(policy: Policy) -> Policy:
    """Return the policy with what it demands where it says nothing, in words that a request joins
    and cannot lower: the numbers of *medium*, and the paper's terms or, where it is adaptive, I2P's
    categories.
    """
    adaptive = policy.guidance == "adaptive"
    silent = not policy.concepts and not policy.categories
    said: dict[str, Any] = {}
    if silent and adaptive:
        said["categories"] = dict.fromkeys(CATEGORY_CONCEPTS, policy.least or LEVELS[0])
    elif silent:
        said["concepts"] = DEFAULT_CONCEPT.terms
    if policy.least is None and (not policy.categories or (adaptive and policy.concepts)):
        bare = msgspec.structs.replace(policy, categories={})
        said["settings"] = _of_sld(guidance(bare))
    return msgspec.structs.replace(policy, **said) if said else policy


def is_at_least(settings: SLD | Adaptive, method: str) -> bool:
    """Return whether settings are in everything at least those of a run's method, by its name: a
    preset, or ``adaptive``, which is I2P's categories at *strong*.
    """
    if isinstance(settings, Adaptive):
        kept = settings.names == Adaptive().names and method == "adaptive"
        return kept and all(is_at_least(one.strength, "strong") for one in settings.categories)
    if method not in PRESETS:
        return False
    own = _of_sld(settings)
    return _settings(own, _of_sld(PRESETS[method].by_noise_level())) == own


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
    own = _of_sld(settings)
    for level in LEVELS:
        joined = _settings(own, _of_sld(PRESETS[level].by_noise_level()))
        if joined != own:
            return guidance(Policy(least=level, settings=own))
    return None


def _of_sld(sld: SLD) -> Settings:
    if not isinstance(sld.warmup, NoiseLevel):
        if sld.warmup == 0:
            sld = sld.by_noise_level()
        else:
            raise BadValueError(
                f"under a policy the warm-up is {sld.warmup} steps; give a noise level, which is"
                " the same for any number of steps: SLD(...).by_noise_level()"
            )
    values = asdict(sld)
    assert isinstance(sld.warmup, NoiseLevel)
    return Settings(
        noise_level=sld.warmup.level, **{n: v for n, v in values.items() if n != "warmup"}
    )


def _higher(order: Sequence[T], a: T | None, b: T | None) -> T | None:
    given = [one for one in (a, b) if one is not None]
    return max(given, key=order.index, default=None)


def _terms(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    return Concept(terms=a).with_terms(*b).terms if a and b else a or b


def _extreme(pick: Any, a: Any, b: Any) -> Any:
    given = [one for one in (a, b) if one is not None]
    return pick(given) if given else None


def _settings(a: Settings, b: Settings) -> Settings:
    return Settings(
        **{
            name: _extreme(max, getattr(a, name), getattr(b, name))
            for name in Settings.__struct_fields__
        }
    )


def _prompt(a: PromptRules, b: PromptRules) -> PromptRules:
    same = {
        name: _one(name, getattr(a, name), getattr(b, name))
        for name in ("calibration", "classifier", "revision")
    }
    return PromptRules(
        **same,
        threshold=_extreme(min, a.threshold, b.threshold),
        unsafe=tuple(dict.fromkeys((*a.unsafe, *b.unsafe))),
        classifier_threshold=_extreme(min, a.classifier_threshold, b.classifier_threshold),
    )


def _one(name: str, a: str | None, b: str | None) -> str | None:
    """What both name, or the one that does."""
    if a is not None and b is not None and a != b:
        raise BadValueError(
            f"the policy's {name} is {a!r} and the request's {b!r}; a request must not name another"
        )
    return a if b is None else b


def _output(a: OutputRules, b: OutputRules) -> OutputRules:
    return OutputRules(
        protocols=tuple(dict.fromkeys((*a.protocols, *b.protocols))),
        vectors=_one("vectors", a.vectors, b.vectors),
        retries=_extreme(min, a.retries, b.retries),
        finding=_higher(FINDINGS, a.finding, b.finding),
    )


def _limits(a: Limits, b: Limits) -> Limits:
    picked = {
        name: _extreme(max if name == "least_steps" else min, getattr(a, name), getattr(b, name))
        for name in Limits.__struct_fields__
    }
    try:
        return Limits(**picked)
    except ValueError as error:
        raise BadValueError(f"policy and request together: {error}") from None


def _targets(a: Targets, b: Targets) -> Targets:
    shares = dict(a.categories)
    for category, share in b.categories.items():
        shares[category] = min(share, shares.get(category, share))
    return Targets(
        most_inappropriate=_extreme(min, a.most_inappropriate, b.most_inappropriate),
        categories=shares,
        most_unjudged=_extreme(min, a.most_unjudged, b.most_unjudged),
        least_images=_extreme(max, a.least_images, b.least_images),
    )
