"""The card says what the run says, and where it falls short."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from msgspec.structs import replace as replaced

from safelatent.concepts import DEFAULT_CONCEPT
from safelatent.policy import Limits, OutputRules, Policy, Settings, Targets
from safelatent.policy.card import Card, Measured, MeasuredShare, shown

NONE = MeasuredShare(share=math.nan, low=0.0, high=1.0, images=0, unjudged=math.nan)
SOME = MeasuredShare(share=0.1, low=0.08, high=0.13, images=300, unjudged=0.01)
POLICY = Policy(
    name="school",
    least="strong",
    output=OutputRules(protocols=("embedded",)),
    limits=Limits(least_steps=20),
)
MEASURED = Measured(
    run="runs/a",
    model="embedded",
    method="strong",
    concept=str(POLICY.concept),
    protocol="embedded",
    protocol_hash="0123456789abcdef",
    prompts="embedded-i2p",
    steps=50,
    plan="exact",
    finished=True,
    guarded={"overall": SOME, "hate": replace(SOME, high=0.4)},
    unguarded={"overall": replace(SOME, share=0.6, low=0.55, high=0.65)},
)


def falls(targets: Targets, **changes) -> tuple[str, ...]:
    policy = Policy(least="strong", targets=targets)
    return Card(policy=policy, measured=replace(MEASURED, **changes)).shortfalls


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (Targets(most_inappropriate=0.13, most_unjudged=0.01, least_images=300), []),
        (Targets(most_inappropriate=0.12), ["overall: up to 13.0% of the images"]),
        (Targets(categories={"hate": 0.3}), ["hate: up to 40.0%"]),
        (Targets(categories={"sexual": 0.3}), ["sexual: the run has no prompts"]),
        (Targets(least_images=301), ["300 images were judged, at least 301"]),
        (Targets(most_unjudged=0.005), ["1.0% of the images have no verdict"]),
        (Targets(least_unguarded=0.55), []),
        (Targets(least_unguarded=0.56), ["without guidance as few as 55.0% of the images"]),
    ],
)
def test_the_upper_end_of_the_interval_is_held_to_the_target(targets, said):
    found = falls(targets)
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))


def test_a_run_of_the_guard_alone_does_not_show_what_its_prompts_draw():
    assert not falls(Targets(most_inappropriate=0.13), unguarded={})
    found = falls(Targets(least_unguarded=0.0), unguarded={})
    assert found == ("the run has no images without guidance",)


def test_what_is_not_the_policys_run_falls_short():
    line = falls(Targets(), concept="bananas")[0]
    assert "concept 'bananas'" in line
    assert line.endswith(f"with: safelatent bench run ... --concept '{DEFAULT_CONCEPT}'")
    assert falls(Targets(), method="max") == (
        "the run was measured with 'max', the policy's is 'strong'",
    )
    assert falls(Targets(), finished=False) == ("the run is not finished",)
    assert falls(Targets(), plan="concept=5")[0].startswith("the run was measured with the plan")


def of(policy: Policy, **changes) -> tuple[str, ...]:
    return Card(policy=policy, measured=replace(MEASURED, **changes)).shortfalls


def test_a_run_of_steps_that_the_policy_refuses_falls_short():
    for limits in (Limits(least_steps=51), Limits(most_steps=49)):
        assert of(Policy(least="strong", limits=limits)) == (
            "the run took 50 steps per image, which the policy does not allow",
        )
    assert not of(Policy(least="strong", limits=Limits(least_steps=50, most_steps=50)))


def test_own_settings_need_a_run_of_no_more():
    """Named by ``--method``, *max* would speak for a policy that is next to nothing."""
    weak = Policy(settings=Settings(scale=1.0, threshold=0.0))
    assert "not at least as strong" in of(weak, method="max")[0]
    assert "not at least as strong" in of(weak, method="off")[0]
    assert not of(Policy(least="strong", settings=Settings(scale=9000.0)), method="strong")


def test_an_adaptive_policy_needs_the_strength_of_the_run():
    """A run's *adaptive* is I2P's categories at *strong*."""
    for level, short in (("weak", True), ("medium", True), ("strong", False), ("max", False)):
        found = of(Policy(guidance="adaptive", least=level), method="adaptive")
        assert bool(found) == short
    one = Policy(guidance="adaptive", least="max", concepts=DEFAULT_CONCEPT.terms)
    assert "not at least as strong" in of(one, method="adaptive")[0]


@pytest.mark.parametrize("targets", [Targets(most_inappropriate=1.0), Targets(most_unjudged=1.0)])
def test_a_run_without_a_verdict_meets_no_target(targets):
    nothing = replace(NONE, low=math.nan, high=math.nan)
    assert falls(targets, guarded={"overall": nothing})


def test_as_text():
    text = str(Card(policy=POLICY, measured=MEASURED))
    assert "policy: school (" in text
    assert "suppresses: hate, harassment, violence" in text
    assert "checks: images, by embedded" in text
    assert "10.0 % [8.0, 13.0] n=300" in text
    assert "60.0 %" in text
    assert "guidance alone" in text
    assert "meets" not in text  # nothing was demanded


def test_a_strangers_name_is_one_line_of_the_card():
    policy = replaced(POLICY, name="a\nguidance: none\x1b[2J")
    odd = replace(MEASURED, guarded={"overall": SOME, "b\nmeets\x1b": SOME})
    lines = str(Card(policy=policy, measured=odd)).splitlines()
    assert lines[0].startswith("policy: a guidance: none\\x1b[2J (")
    assert lines[-1].startswith("b meets\\x1b ")


def test_as_json():
    told = Card(policy=POLICY, measured=replace(MEASURED, unguarded={"overall": NONE})).as_dict()
    again = json.loads(json.dumps(told, allow_nan=False))
    assert again["measured"]["guarded"]["overall"]["high"] == 0.13
    assert again["measured"]["unguarded"]["overall"]["share"] is None
    assert again["policy"]["hash"] == POLICY.hash


def test_no_images_are_a_dash():
    assert shown(None) == shown(NONE) == "-"


def test_an_adaptive_policy_is_told_by_category():
    policy = Policy(guidance="adaptive", categories={"hate": "max", "sexual": "weak"})
    said = Card(policy=policy, measured=MEASURED)
    assert said.said()["guidance"].startswith("hate from noise level 1.000 on, scale 5000")
    assert "; sexual from noise level" in said.said()["guidance"]
    kept = said.as_dict()["guidance"]["categories"]
    assert [one["name"] for one in kept] == ["hate", "sexual"]
