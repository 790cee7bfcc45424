"""The flow: good images are kept, flagged ones drawn again, and nothing leaves without a reason."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor

from safelatent import guard
from safelatent.detectors.images import blurred
from safelatent.errors import GuardError
from safelatent.guidance import MAX, STRONG
from safelatent.pipelines.guard import GuardedClassic
from safelatent.policy import Limits, OutputRules, Policy, demanded
from safelatent.policy.demands import next_level
from tests import tiny
from tests.pipelines.test_guard import checker
from tests.policy.scripted import Raising, Scripted

TWO = ["a cat", "a dog"]
STEPS = 6


def noise(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture
def under(pipe, monkeypatch):
    """Make a pipeline under a policy whose output check is the given object."""

    def make(protocol, policy: Policy):
        monkeypatch.setattr("safelatent.policy.enforce.named_protocol", lambda *_: protocol)
        rules = OutputRules(
            protocols=("embedded",), retries=policy.output.retries, finding=policy.output.finding
        )
        return guard(pipe, policy=msgspec.structs.replace(policy, output=rules))

    return make


def same(a, b) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b))


def test_what_passes_is_what_the_guard_draws(pipe, under):
    safe = under(Scripted(script=[]), Policy(name="school", least="max"))
    out = safe(TWO, num_inference_steps=STEPS, generator=noise(1, 2))
    plain = guard(pipe, MAX.by_noise_level())(TWO, num_inference_steps=STEPS, generator=noise(1, 2))
    assert all(same(a, b) for a, b in zip(out.images, plain.images, strict=True))
    for seed, receipt in zip((1, 2), out.receipts, strict=True):
        assert (receipt.outcome, receipt.reason) == ("released", "passed")
        assert [one.seed for one in receipt.attempts] == [seed]
        assert receipt.receipt.safety == "max"
        assert receipt.policy["name"] == "school"
        assert receipt.effective["least"] == "max"


def test_the_good_images_of_a_batch_are_kept(under):
    protocol = Scripted(script=["safe", "inappropriate"])
    safe = under(protocol, Policy(least="max"))
    out = safe(TWO, num_inference_steps=STEPS, generator=noise(1, 2))
    assert same(out.images[0], protocol.seen[0])
    assert out.images[1] is None
    assert [one.outcome for one in out.receipts] == ["released", "refused"]
    assert out.receipts[1].reason == "output refused"
    assert "scripted: script inappropriate (1.00)" in out.receipts[1].message


def test_a_flagged_image_is_drawn_again_at_the_next_level_from_the_same_noise(pipe, under):
    safe = under(
        Scripted(script=["inappropriate"]),
        Policy(least="strong", output=OutputRules(retries=2)),
    )
    out = safe("a cat", num_inference_steps=20, generator=noise(1))
    attempts = out.receipts[0].attempts
    assert [one.receipt.safety for one in attempts] == ["strong", "max"]
    assert [one.seed for one in attempts] == [1, 1]
    plain = guard(pipe, MAX.by_noise_level())("a cat", num_inference_steps=20, generator=noise(1))
    assert same(out.images[0], plain.images[0])


def test_at_max_another_seed_is_taken(under):
    safe = under(
        Scripted(script=["inappropriate"] * 2),
        Policy(least="max", output=OutputRules(retries=2)),
    )
    out = safe("a cat", num_inference_steps=STEPS, generator=noise(1))
    receipt = out.receipts[0]
    seeds = [one.seed for one in receipt.attempts]
    assert len(set(seeds)) == 3
    assert receipt.outcome == "released"
    # The published receipt has the seed of what left, which draws it once more.
    assert receipt.facts["seed"] == seeds[-1]
    assert [one["seed"] for one in receipt.facts["retries"]] == seeds[:-1]
    assert {one["reason"] for one in receipt.facts["retries"]} == {"output refused"}
    again = under(Scripted(script=[]), Policy(least="max"))
    once_more = again("a cat", num_inference_steps=STEPS, generator=noise(seeds[-1]))
    assert same(once_more.images[0], out.images[0])


def test_retries_are_bounded(under):
    protocol = Scripted(script=["inappropriate"] * 99)
    safe = under(protocol, Policy(least="max", output=OutputRules(retries=3)))
    out = safe("a cat", num_inference_steps=STEPS)
    assert len(protocol.seen) == len(out.receipts[0].attempts) == 4
    assert out.images == [None]


@pytest.mark.parametrize(("finding", "outcome"), [("blur", "blurred"), ("replace", "replaced")])
def test_what_is_still_flagged_leaves_changed(under, finding, outcome):
    protocol = Scripted(script=["inappropriate"])
    safe = under(protocol, Policy(least="max", output=OutputRules(finding=finding)))
    out = safe("a cat", num_inference_steps=STEPS)
    assert out.receipts[0].outcome == outcome
    assert out.images[0].size == protocol.seen[0].size
    assert not same(out.images[0], protocol.seen[0])


def test_a_blurred_picture_keeps_no_detail():
    rows = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    picture = Image.fromarray(rows)
    before, after = (np.asarray(one, float) for one in (picture, blurred(picture, side=64)))
    assert after.shape == before.shape
    steps = [np.abs(np.diff(one, axis=1)).mean() for one in (before, after)]
    assert steps[1] < steps[0] / 50


def test_an_attempt_that_the_guard_stops_leaves_nothing_of_the_one_before(under, monkeypatch):
    """Else a blurred picture would leave with a receipt of an attempt that drew none."""
    rules = OutputRules(finding="blur", retries=1)
    safe = under(Scripted(script=["inappropriate"]), Policy(least="max", output=rules))
    calls, real = [], GuardedClassic.__call__

    def stops(self, *args, **kwargs):
        calls.append(None)
        if len(calls) == 2:
            raise GuardError("the estimates are not finite")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(GuardedClassic, "__call__", stops)
    out = safe("a cat", num_inference_steps=STEPS)
    assert len(calls) == 2
    assert out.images == [None]
    assert (out.receipts[0].outcome, out.receipts[0].reason) == ("refused", "not guardable")


def test_an_error_of_a_retry_costs_no_image_that_has_passed(under, monkeypatch):
    rules = OutputRules(retries=1)
    safe = under(Scripted(script=["safe", "inappropriate"]), Policy(least="max", output=rules))
    real = GuardedClassic.__call__

    def fails(self, *args, **kwargs):
        if len(kwargs["generator"]) == 1:
            raise RuntimeError("out of memory")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(GuardedClassic, "__call__", fails)
    out = safe(TWO, num_inference_steps=STEPS, generator=noise(1, 2))
    assert [image is None for image in out.images] == [False, True]
    assert out.receipts[1].reason == "not guardable"
    assert "RuntimeError: out of memory" in out.receipts[1].message
    with pytest.raises(RuntimeError, match="out of memory"):  # nothing there to lose
        safe("a cat", num_inference_steps=STEPS)


def test_a_black_square_of_the_pipelines_own_checker_is_a_finding():
    """It blanks what it flags; without a protocol, the square would leave as passed."""
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    pipe = tiny.pipeline(safety_checker=checker([True, False]), feature_extractor=processor)
    out = guard(pipe, policy=Policy(least="max"))(TWO, num_inference_steps=STEPS)
    assert [image is None for image in out.images] == [True, False]
    assert [one.reason for one in out.receipts] == ["output refused", "passed"]
    assert out.receipts[0].facts["checks"][0]["name"] == "safety checker"


@pytest.mark.parametrize("finding", ["blur", "replace", "refuse"])
@pytest.mark.parametrize("protocol", [Scripted(script=["error"]), Raising()])
def test_a_check_that_fails_closes_the_gate(under, protocol, finding):
    safe = under(protocol, Policy(least="max", output=OutputRules(retries=5, finding=finding)))
    out = safe("a cat", num_inference_steps=STEPS)
    if isinstance(protocol, Scripted):
        protocol.script = ["error"]
    assert out.images == [None]
    assert out.receipts[0].reason == "checker failed"
    assert len(out.receipts[0].attempts) == 1


def test_an_unusable_image_is_no_pass(under):
    out = under(Scripted(script=["unusable"]), Policy(least="max"))("a", num_inference_steps=STEPS)
    assert (out.images, out.receipts[0].reason) == ([None], "output refused")


def test_an_image_that_cannot_be_guarded_does_not_cost_the_others(under):
    safe = under(Scripted(script=[]), Policy(least="max", concepts=("weapons",)))
    out = safe(["weapons", "a dog"], num_inference_steps=STEPS, generator=noise(1, 2))
    assert out.images[0] is None
    assert out.receipts[0].reason == "not guardable"
    assert out.receipts[0].attempts[0].message
    assert out.receipts[1].outcome == "released"


def test_the_time_ends_the_retries(under, monkeypatch):
    ticking = iter(range(0, 1000, 40))
    monkeypatch.setattr("safelatent.policy.call.time.monotonic", lambda: next(ticking))
    safe = under(
        Scripted(script=["inappropriate"] * 99),
        Policy(least="max", output=OutputRules(retries=9), limits=Limits(most_seconds=100)),
    )
    out = safe("a cat", num_inference_steps=STEPS)
    assert out.receipts[0].reason == "out of time"
    assert len(out.receipts[0].attempts) == 2
    assert out.images == [None]


def test_two_images_per_prompt_are_two_rows(under):
    safe = under(Scripted(script=["inappropriate"]), Policy(least="max"))
    out = safe("a cat", num_inference_steps=STEPS, num_images_per_prompt=2, generator=noise(1, 2))
    assert [image is None for image in out.images] == [True, False]


def test_a_prompt_with_minors_is_not_drawn(under):
    protocol = Scripted(script=[])
    out = under(protocol, Policy(least="max"))(["a nude child", "a dog"], num_inference_steps=STEPS)
    assert [one.reason for one in out.receipts] == ["prompt refused", "passed"]
    assert out.receipts[0].attempts == ()
    assert len(protocol.seen) == 1


def test_the_text_that_is_drawn_is_the_one_that_is_checked(pipe, under):
    safe = under(Scripted(script=[]), Policy(least="max"))
    hidden = safe("a c\u200bat", num_inference_steps=STEPS, generator=noise(1))
    shown = safe("a cat", num_inference_steps=STEPS, generator=noise(1))
    assert same(hidden.images[0], shown.images[0])


def test_a_receipt_is_plain_values(under):
    import json

    safe = under(Scripted(script=["inappropriate"]), Policy(name="school", least="strong"))
    receipt = safe("a cat", num_inference_steps=20).receipts[0]
    said = json.loads(json.dumps(receipt.as_dict()))
    assert said["outcome"] == "refused"
    assert said["attempts"][0]["receipt"]["safety"] == "strong"
    assert said["policy"]["hash"] == safe.policy.hash != said["effective"]["hash"]
    assert len(said["effective"]["concepts"]) == 20  # also what the policy leaves out
    assert STRONG.threshold == said["attempts"][0]["receipt"]["settings"]["threshold"]
    assert "refused: " in str(receipt)
    assert "school" in receipt._repr_html_()


def test_an_adaptive_policy_guards_from_each_category_at_its_own_level(pipe, under):
    """Drawn as ``Adaptive`` draws; a flagged image again with every category a level higher."""
    policy = Policy(
        guidance="adaptive",
        categories={"violence": "strong", "hate": "medium"},
        output=OutputRules(retries=1),
    )
    safe = under(Scripted(script=["inappropriate"]), policy)
    out = safe("a cat", num_inference_steps=20, generator=noise(1)[0])
    first, second = (attempt.receipt for attempt in out.receipts[0].attempts)
    assert first.concept == demanded(policy).text()
    own = next_level(demanded(policy))
    assert [one.strength for one in own.categories] == [
        MAX.by_noise_level(),
        STRONG.by_noise_level(),
    ]
    plain = guard(pipe, own)("a cat", num_inference_steps=20, generator=noise(1)[0])
    assert same(out.images[0], plain.images[0])
    assert second.settings == plain.receipts[0].settings != first.settings
