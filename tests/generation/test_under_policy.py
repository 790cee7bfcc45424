"""Requests under a policy: the request's safety and concept are joined, what is refused is said."""

from __future__ import annotations

import pytest

from safelatent.generation.request import DEMANDED, Request
from safelatent.generation.under_policy import sample_under, under
from safelatent.policy import Policy
from tests import tiny

POLICY = Policy(name="school", least="strong", concepts=("weapons",))


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


def request(**values) -> Request:
    return Request(**{"prompt": "a cat", "steps": 20, "concept": POLICY.concept} | values)


@pytest.mark.parametrize(
    ("safety", "held"), [("off", "strong"), (DEMANDED, "strong"), ("weak", "strong"), ("max",) * 2]
)
def test_a_request_never_lowers_the_policy(pipe, safety, held):
    safe = under(pipe, POLICY, request(safety=safety))
    made = sample_under(safe, [request(safety=safety)])[0]
    assert made.receipt.receipt.safety == held
    assert made.as_dict()["decision"]["policy"]["name"] == "school"
    assert made.as_dict()["seed"] == 0


def test_own_settings_are_joined(pipe):
    asked = request(safety="weak", settings=(("scale", 9000.0), ("threshold", 0.0)))
    safe = under(pipe, POLICY, asked)
    assert (safe.guidance.scale, safe.guidance.threshold) == (9000.0, 0.025)


def test_a_refused_prompt_is_no_image(pipe):
    safe = under(pipe, POLICY, request())
    made = sample_under(safe, [request(prompt="a knіfe")])[0]  # a Cyrillic letter
    assert made.image is None
    assert made.receipt.reason == "prompt refused"
