"""What a policy demands, said or not, is never less whatever a request says."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given

from safelatent import SLD, NoiseLevel
from safelatent.errors import BadValueError
from safelatent.guidance import MEDIUM, PRESETS, STRONG, WEAK, Adaptive, categories
from safelatent.policy import (
    Limits,
    OutputRules,
    Policy,
    PromptRules,
    Settings,
    covers,
    demanded,
    effective,
    guidance,
    join,
    request_of,
)
from safelatent.policy.demands import next_level, settled
from safelatent.policy.join import FINDINGS, LEVELS
from tests.policy.generated import GENERATED, POLICIES

# 1,000,000 with SAFELATENT_REQUESTS=1000000; what is ordinary takes seconds.
REQUESTS = int(os.environ.get("SAFELATENT_REQUESTS", "20000"))


def _at_least(found: SLD, floor: SLD) -> bool:
    assert isinstance(found.warmup, NoiseLevel)
    assert isinstance(floor.warmup, NoiseLevel)
    numbers = ("scale", "threshold", "momentum", "decay")
    return found.warmup.level >= floor.warmup.level and all(
        getattr(found, name) >= getattr(floor, name) for name in numbers
    )


def _folded(terms: Iterable[str]) -> set[str]:
    return {term.lower() for term in terms}


def _checks(policy: Policy) -> list[float]:
    """What a policy checks and allows beside the guidance, each number stricter where larger.

    Written out, with what holds where it says nothing.
    """
    prompt, output, limits = policy.prompt, policy.output, policy.limits

    def least(value: float | None) -> float:
        return -float("inf") if value is None else -value

    of_classifier = 0.5 if prompt.classifier_threshold is None else prompt.classifier_threshold
    return [
        prompt.calibration is not None,
        least(prompt.threshold),
        -of_classifier if prompt.classifier else -2.0,
        "toxic" in prompt.unsafe,
        *(name in output.protocols for name in ("embedded", "i2p-paper")),
        -(output.retries or 0),
        FINDINGS.index(output.finding or "refuse"),
        limits.least_steps or 0,
        *map(least, (limits.most_steps, limits.most_side, limits.most_images)),
        least(limits.most_seconds),
    ]


_CLASSIFIER = {"classifier": "owner/name", "unsafe": ("toxic",)}
_PROMPTS = (
    PromptRules(),
    PromptRules(**_CLASSIFIER),
    PromptRules(**_CLASSIFIER, classifier_threshold=1.0),
    PromptRules(calibration="check.safetensors", threshold=0.6),
    PromptRules(threshold=0.9),
)


def _floors() -> list[Policy]:
    floors = [Policy(least=level) for level in LEVELS]
    floors += [Policy(categories={"violence": "strong"}, concepts=("spiders",))]
    floors += [
        Policy(least="max", prompt=_PROMPTS[1], output=OutputRules(protocols=("embedded",))),
        Policy(
            least="weak",
            prompt=_PROMPTS[3],
            output=OutputRules(retries=2, finding="replace"),
            limits=Limits(least_steps=10, most_steps=50, most_side=64, most_images=2),
        ),
    ]
    # Those that leave something out are the slowest, since 20 terms are joined.
    return 6 * floors + [Policy(), Policy(concepts=("war",)), Policy(settings=Settings(scale=3))]


def _request(rng: random.Random) -> Policy:
    return Policy(
        least=rng.choice([None, *LEVELS]),
        settings=Settings(
            noise_level=rng.choice([None, rng.uniform(1e-6, 1)]),
            scale=rng.choice([None, rng.uniform(1, 9000)]),
            threshold=rng.choice([None, rng.random()]),
            momentum=rng.choice([None, rng.random()]),
            decay=rng.choice([None, rng.random() * 0.7]),
        ),
        concepts=rng.choice(12 * [()] + [("WAR",), ("spiders",), ("bananas",)]),
        categories=rng.choice(12 * [{}] + [{"violence": "weak"}, {"hate": "max"}]),
        guidance=rng.choice(12 * [None] + ["exact", "adaptive"]),
        prompt=rng.choice(_PROMPTS),
        output=OutputRules(
            protocols=rng.choice([(), ("i2p-paper",)]),
            retries=rng.choice([None, 0, 10]),
            finding=rng.choice([None, *FINDINGS]),
        ),
        limits=Limits(
            least_steps=rng.choice([None, 1, 20]),
            most_steps=rng.choice([None, 20, 1000]),
            most_side=rng.choice([None, 4096]),
            most_images=rng.choice([None, 1, 99]),
            most_seconds=rng.choice([None, 1e9]),
        ),
    )


def test_no_request_falls_below_the_floor() -> None:
    """Plain random numbers, so that a million requests take minutes."""
    rng = random.Random(0)
    floors = [(one, demanded(one), _folded(one.concept.terms), _checks(one)) for one in _floors()]
    lower = refused = 0
    for n in range(REQUESTS):
        policy, floor, terms, checks = floors[n % len(floors)]
        try:
            found = effective(policy, _request(rng))
        except BadValueError:  # they contradict one another: nothing is drawn
            refused += 1
            continue
        guided = demanded(found)
        kept = isinstance(guided, SLD) and _at_least(guided, floor)
        kept &= _folded(found.concept.terms) >= terms
        lower += not (kept and all(a >= b for a, b in zip(_checks(found), checks, strict=True)))
    assert lower == 0
    assert refused < REQUESTS / 2


def test_a_request_does_not_fill_in_what_the_policy_leaves_out() -> None:
    lax = Policy(
        output=OutputRules(retries=10, finding="blur"),
        prompt=PromptRules(**_CLASSIFIER, classifier_threshold=1.0),
    )
    found = effective(Policy(prompt=PromptRules(**_CLASSIFIER)), lax)
    assert (found.output.retries, found.output.finding) == (0, "refuse")
    assert found.prompt.classifier_threshold == 0.5
    with pytest.raises(BadValueError, match="guidance is 'exact' and the request's 'adaptive'"):
        effective(Policy(), request_of("adaptive"))
    assert effective(Policy(guidance="adaptive"), request_of("adaptive")).least == "strong"
    checked = Policy(prompt=PromptRules(calibration="check.safetensors"))
    with pytest.raises(BadValueError, match=r"0\.9, and the policy leaves it to its cal"):
        effective(checked, Policy(prompt=PromptRules(threshold=0.9)))


@GENERATED
@given(POLICIES, POLICIES)
def test_what_is_demanded_is_never_less_whatever_is_asked(policy: Policy, request: Policy) -> None:
    """Of every category, also where a policy leaves out level, concepts or both."""
    bare = msgspec.structs.replace(request, guidance=policy.guidance)
    try:
        held = effective(policy, bare)
    except BadValueError:
        return
    floor, found = demanded(policy), demanded(held)
    assert demanded(settled(policy)) == floor
    assert covers(held, policy)
    if isinstance(floor, SLD):
        assert _at_least(found, floor)
        return
    strengths = {one.name: one.strength for one in found.categories}
    assert all(_at_least(strengths[one.name], one.strength) for one in floor.categories)
    assert _folded(held.concepts) >= _folded(policy.concepts)


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_the_preset_by_noise_level(level: str) -> None:
    assert guidance(Policy(least=level)) == PRESETS[level].by_noise_level()
    assert guidance(Policy(categories={"hate": level})) == PRESETS[level].by_noise_level()


def test_the_highest_level_holds_for_all_categories() -> None:
    policy = Policy(least="weak", categories={"hate": "medium", "sexual": "strong"})
    assert guidance(policy) == STRONG.by_noise_level()
    assert policy.concept.terms[:2] == ("hate", "cruelty")


def test_nothing_said_is_medium_away_from_the_papers_concept() -> None:
    assert guidance(Policy()) == MEDIUM.by_noise_level()
    assert len(Policy().concept.terms) == 20


def test_a_request_by_settings_is_joined_setting_by_setting() -> None:
    own = SLD(warmup=NoiseLevel(0.5), scale=9000.0, threshold=0.0, momentum=0.0, decay=0.0)
    found = guidance(join(Policy(least="strong"), request_of(own)))
    floor = STRONG.by_noise_level()
    assert found == SLD(warmup=floor.warmup, scale=9000.0, threshold=0.025, momentum=0.5, decay=0.7)


CHILD_AND_ARTIST = Policy(
    guidance="adaptive",
    least="medium",
    settings=Settings(momentum=0.6),
    categories={"violence": "max", "hate": "weak"},
    concepts=("drugs",),
)


def test_where_it_is_adaptive_each_category_has_its_own_level() -> None:
    found = demanded(CHILD_AND_ARTIST)
    assert isinstance(found, Adaptive)
    assert found.names == ("violence", "hate", "concepts")
    assert [one.strength for one in found.categories] == [
        replace(PRESETS[level].by_noise_level(), momentum=0.6)
        for level in ("max", "medium", "medium")
    ]
    assert str(found.categories[2].concept) == "drugs"
    alone = msgspec.structs.replace(CHILD_AND_ARTIST, guidance=None)
    assert demanded(alone) == guidance(alone) == guidance(CHILD_AND_ARTIST)


def test_where_it_names_nothing_all_categories_are_steered_away_from() -> None:
    found = demanded(Policy(guidance="adaptive", least="weak"))
    assert found == Adaptive(categories=categories(WEAK))


def test_the_next_level_is_each_categorys_own() -> None:
    found, climbed = demanded(CHILD_AND_ARTIST), []
    while found := next_level(found):
        climbed.append([one.strength.scale for one in found.categories])
    assert climbed == [[5000.0, 2000.0, 2000.0], [5000.0] * 3]


def test_the_levels_end_with_max() -> None:
    climbed = [guidance(Policy(least="weak"))]
    while stronger := next_level(climbed[-1]):
        climbed.append(stronger)
    assert climbed == [PRESETS[level].by_noise_level() for level in LEVELS]


def test_the_next_level_keeps_what_is_stronger_already() -> None:
    own = guidance(Policy(least="weak", settings=Settings(scale=9000.0)))
    stronger = next_level(own)
    assert stronger is not None
    assert stronger.scale == 9000.0
    assert stronger.threshold == MEDIUM.threshold
