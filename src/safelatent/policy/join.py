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
the name and the order of terms) and associative. What holds of a request is in ``demands``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal, TypeVar, cast, get_args

import msgspec

from safelatent.concepts import Concept
from safelatent.errors import BadValueError
from safelatent.guidance import PRESETS, SLD, NoiseLevel, PresetName, preset
from safelatent.guidance.noise import shown
from safelatent.policy.parts import (
    MOST_DECAY,
    Finding,
    Limits,
    OutputRules,
    PromptRules,
    Settings,
    Targets,
)
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
        settings=joined_settings(policy.settings, request.settings),
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


def request_of(
    safety: PresetName | Literal["adaptive"] | SLD | None = None, concept: Concept | None = None
) -> Policy:
    """Return what a call asks for as a policy; ``adaptive`` is of the strength of *strong*.

    Raises:
        BadValueError: an unknown preset, another kind of safety, or settings whose warm-up is a
            number of steps (how much noise that leaves depends on the call) or whose momentum is
            too slow.
    """
    terms = () if concept is None else concept.terms
    if safety is None:
        return Policy(concepts=terms)
    if safety == "adaptive":
        return Policy(guidance="adaptive", least="strong", concepts=terms)
    if isinstance(safety, str):
        preset(safety)
        return Policy(least=safety, concepts=terms)
    if not isinstance(safety, SLD):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
        raise BadValueError(
            f"under a policy the safety is {shown(safety)}; it must be a preset's name, 'adaptive'"
            " or an SLD, for all images of a call"
        )
    return Policy(settings=settings_of(safety), concepts=terms)


def settings_of(sld: SLD) -> Settings:
    """Return the settings as those of a policy.

    Raises:
        BadValueError: the warm-up is a number of steps above 0, or the momentum is too slow.
    """
    if sld.decay > MOST_DECAY:
        raise BadValueError(
            f"under a policy the decay is {sld.decay:g}; it must be at most {MOST_DECAY:g}, that of"
            " max: a slower momentum acts less"
        )
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


def joined_settings(a: Settings, b: Settings) -> Settings:
    """Return the larger of each setting."""
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
        least_unguarded=_extreme(max, a.least_unguarded, b.least_unguarded),
    )
