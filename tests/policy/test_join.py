"""The join of policies is a join: the laws of a lattice, on generated policies."""

import copy
import pickle

import msgspec
import pytest
from hypothesis import given

from safelatent import Concept
from safelatent.errors import BadValueError
from safelatent.guidance import MAX, WEAK
from safelatent.policy import (
    Limits,
    Policy,
    PromptRules,
    Targets,
    covers,
    guidance,
    join,
    request_of,
)
from tests.policy.generated import GENERATED, POLICIES


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


def test_limits_that_allow_nothing_are_refused() -> None:
    few, many = Policy(limits=Limits(most_steps=10)), Policy(limits=Limits(least_steps=20))
    with pytest.raises(BadValueError, match="no call would be allowed"):
        join(few, many)


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
