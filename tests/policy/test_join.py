"""The join of policies is a join: the laws of a lattice, on generated policies."""

import copy
import os
import pickle
from collections.abc import Iterable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safelatent import SLD, Concept, NoiseLevel
from safelatent.errors import BadValueError
from safelatent.guidance import MAX, MEDIUM, PRESETS, STRONG, WEAK, Adaptive, categories
from safelatent.policy import (
    Limits,
    OutputRules,
    Policy,
    PromptRules,
    Settings,
    Targets,
    covers,
    demanded,
    guidance,
    join,
    request_of,
)
from safelatent.policy.join import FINDINGS, LEVELS, next_level, settled

# 1,000,000 with SAFELATENT_REQUESTS=1000000; what is ordinary takes seconds.
REQUESTS = int(os.environ.get("SAFELATENT_REQUESTS", "20000"))
GENERATED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


_SHARE = st.floats(0, 1)
_TERMS = st.lists(
    st.sampled_from(["weapons", "blood", "Blood", "drugs", "hate"]), unique_by=str.lower
)
POLICIES = st.builds(
    Policy,
    name=st.sampled_from(["", "school"]),
    least=_maybe(st.sampled_from(LEVELS)),
    settings=st.builds(
        Settings,
        noise_level=_maybe(st.floats(0.01, 1)),
        scale=_maybe(st.floats(1, 9000)),
        threshold=_maybe(_SHARE),
        momentum=_maybe(_SHARE),
        decay=_maybe(st.floats(0, 0.99)),
    ),
    concepts=_TERMS.map(tuple),
    categories=st.dictionaries(
        st.sampled_from(["hate", "violence", "sexual"]), st.sampled_from(LEVELS)
    ),
    guidance=_maybe(st.just("adaptive")),
    prompt=st.builds(
        PromptRules,
        calibration=_maybe(st.just("check.json")),
        threshold=_maybe(_SHARE),
    ),
    output=st.builds(
        OutputRules,
        protocols=st.lists(st.sampled_from(["embedded", "i2p-paper"]), unique=True).map(tuple),
        retries=_maybe(st.integers(0, 10)),
        finding=_maybe(st.sampled_from(FINDINGS)),
    ),
    limits=st.builds(
        Limits,
        least_steps=_maybe(st.integers(1, 20)),
        most_steps=_maybe(st.integers(20, 100)),
        most_images=_maybe(st.integers(1, 9)),
        most_seconds=_maybe(st.floats(0.1, 99)),
    ),
)


@GENERATED
@given(POLICIES, POLICIES, POLICIES)
def test_the_join_is_the_least_upper_bound(a: Policy, b: Policy, c: Policy) -> None:
    joined = join(a, b)
    assert covers(joined, a)
    assert covers(joined, b)
    if covers(c, a) and covers(c, b):
        assert covers(c, joined)


@GENERATED
@given(POLICIES, POLICIES, POLICIES)
def test_joining_is_idempotent_commutative_and_associative(a: Policy, b: Policy, c: Policy) -> None:
    assert covers(a, join(a, a))
    one, other = join(a, b), join(b, a)
    assert covers(one, other)
    assert covers(other, one)
    left, right = join(join(a, b), c), join(a, join(b, c))
    assert covers(left, right)
    assert covers(right, left)


@GENERATED
@given(POLICIES)
def test_asking_for_nothing_changes_nothing(policy: Policy) -> None:
    assert join(policy, Policy()) == policy
    assert join(Policy(), policy) == policy


def _at_least(found: SLD, floor: SLD) -> bool:
    assert isinstance(found.warmup, NoiseLevel)
    assert isinstance(floor.warmup, NoiseLevel)
    numbers = ("scale", "threshold", "momentum", "decay")
    return found.warmup.level >= floor.warmup.level and all(
        getattr(found, name) >= getattr(floor, name) for name in numbers
    )


def _folded(terms: Iterable[str]) -> set[str]:
    return {term.lower() for term in terms}


def test_no_request_falls_below_the_floor() -> None:
    """Plain random numbers, so that a million requests take minutes."""
    import random

    rng = random.Random(0)
    floors = [Policy(least=level) for level in LEVELS]
    floors += [Policy(categories={"violence": "strong"}, concepts=("spiders",))]
    # Those that leave something out are the slowest, since 20 terms are joined.
    floors = 6 * floors + [Policy(), Policy(concepts=("war",)), Policy(settings=Settings(scale=3))]
    held = [(settled(one), demanded(one), _folded(one.concept.terms)) for one in floors]
    lower = 0
    for n in range(REQUESTS):
        policy, floor, terms = held[n % len(held)]
        request = Policy(
            least=rng.choice([None, *LEVELS]),
            settings=Settings(
                noise_level=rng.choice([None, rng.uniform(1e-6, 1)]),
                scale=rng.choice([None, rng.uniform(1, 9000)]),
                threshold=rng.choice([None, rng.random()]),
                momentum=rng.choice([None, rng.random()]),
                decay=rng.choice([None, rng.random() * 0.999]),
            ),
            concepts=rng.choice([(), ("bananas",), ("SPIDERS",)]),
            categories=rng.choice([{}, {"violence": "weak"}, {"hate": "max"}]),
        )
        effective = join(policy, request)
        kept = _folded(effective.concept.terms) >= terms
        lower += not (_at_least(demanded(effective), floor) and kept)
    assert lower == 0


@GENERATED
@given(POLICIES, POLICIES)
def test_what_is_demanded_is_never_less_whatever_is_asked(policy: Policy, request: Policy) -> None:
    """Of every category, also where a policy leaves out level, concepts or both."""
    bare = msgspec.structs.replace(request, guidance=policy.guidance)
    try:
        effective = join(settled(policy), bare)
    except BadValueError:
        return
    floor, found = demanded(policy), demanded(effective)
    assert demanded(settled(policy)) == floor
    assert covers(effective, policy)
    if isinstance(floor, SLD):
        assert _at_least(found, floor)
        return
    strengths = {one.name: one.strength for one in found.categories}
    assert all(_at_least(strengths[one.name], one.strength) for one in floor.categories)
    assert _folded(effective.concepts) >= _folded(policy.concepts)


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


def test_a_warmup_in_steps_is_refused_unless_it_is_none() -> None:
    with pytest.raises(BadValueError, match="by_noise_level"):
        request_of(WEAK)
    assert guidance(request_of(MAX)) == MAX.by_noise_level()


def test_the_requests_concept_is_added() -> None:
    joined = join(
        Policy(concepts=("weapons",)), request_of("weak", Concept.parse("Weapons, bananas"))
    )
    assert joined.concepts == ("weapons", "bananas")


def test_a_request_cannot_name_another_check() -> None:
    mine, theirs = (
        Policy(prompt=PromptRules(calibration=name)) for name in ("mine.json", "theirs.json")
    )
    with pytest.raises(BadValueError, match="must not name another"):
        join(mine, theirs)
    assert not covers(mine, theirs)


def test_a_request_cannot_name_another_guidance() -> None:
    with pytest.raises(BadValueError, match="guidance is 'exact' and the request's 'adaptive'"):
        join(Policy(guidance="exact"), Policy(guidance="adaptive"))


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


def test_limits_that_allow_nothing_are_refused() -> None:
    few, many = Policy(limits=Limits(most_steps=10)), Policy(limits=Limits(least_steps=20))
    with pytest.raises(BadValueError, match="no call would be allowed"):
        join(few, many)


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


def test_a_policy_is_immutable() -> None:
    with pytest.raises(AttributeError):
        Policy().least = "max"  # type: ignore[misc]
    policy = Policy(categories={"violence": "max"}, targets=Targets(categories={"hate": 0.1}))
    for table in (policy.categories, policy.targets.categories):
        for change in (
            lambda table: table.update(violence="weak"),
            lambda table: table.__setitem__("violence", "weak"),
            lambda table: table.pop("violence", None),
            lambda table: table.clear(),
        ):
            with pytest.raises(TypeError, match="a policy stays as it is"):
                change(table)
    for again in (copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert again == policy
        with pytest.raises(TypeError):
            again.categories["violence"] = "weak"
    assert msgspec.structs.replace(Policy(), least="max").least == "max"
