"""A pipeline under a policy behaves like the pipeline, and what would go below is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import SanaPipeline, StableDiffusionImg2ImgPipeline
from PIL import Image

from safelatent import SLD, NegativePrompt, NoiseLevel, UnsupportedError, guard
from safelatent.concepts import DEFAULT_CONCEPT
from safelatent.errors import BadValueError, GuardError
from safelatent.guidance import EXACT, MAX, MEDIUM, STRONG
from safelatent.pipelines.guard import GuardedClassic
from safelatent.policy import Limits, OutputRules, Policy, PromptRules, Settings
from safelatent.policy.arguments import checked
from tests import tiny
from tests.pipelines.classic import tiny_families as families

CALL = {"prompt": "a cat", "num_inference_steps": 6}
POLICY = Policy(
    name="school",
    least="max",
    limits=Limits(least_steps=4, most_steps=10, most_images=2, most_side=64),
)


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def safe(pipe):
    return guard(pipe, policy=POLICY)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"num_inference_steps": 3}, "steps 3; the policy allows at least 4 and at most 10"),
        ({"num_inference_steps": 11}, "steps 11"),
        ({"num_images_per_prompt": 3}, "images 3; the policy allows at most 2"),
        ({"prompt": ["a"] * 3}, "images 3"),
        ({"height": 128, "width": 8}, "side 128"),
    ],
)
def test_a_call_beyond_a_limit_is_refused(safe, more, said):
    with pytest.raises(GuardError, match=said) as caught:
        safe(**CALL | more)
    assert caught.value.reason == "over limit"
    receipt = caught.value.receipt
    assert (receipt.outcome, receipt.reason) == ("refused", "over limit")
    assert receipt.policy == {"name": "school", "hash": POLICY.hash}
    assert receipt.effective["hash"] == safe.effective.hash
    assert receipt.facts["policy"]["effective_sha256"] == safe.effective.hash


def test_who_changes_a_receipt_changes_no_other(safe):
    for out in (safe(**CALL), safe(**CALL)):
        receipt, said = out.receipts[0], out.receipts[0].as_dict()
        assert receipt.effective["least"] == said["effective"]["least"] == "max"
        said["effective"]["output"]["finding"] = said["attempts"][0]["reason"] = "changed"
        assert receipt.effective["output"]["finding"] == "refuse"
        assert receipt.attempts[0].reason == "passed"
        receipt.effective["least"] = "weak"


def test_the_size_that_a_pipeline_draws_by_default_is_held_to_the_limit(pipe, monkeypatch):
    few = guard(pipe, policy=Policy(limits=Limits(most_side=7)))
    monkeypatch.setattr(pipe.unet, "forward", lambda *_, **__: pytest.fail("it was sampled"))
    with pytest.raises(GuardError, match="side 8; the policy allows at most 7") as caught:
        few(**CALL)
    assert caught.value.reason == "over limit"


@pytest.mark.parametrize("name", ["timesteps", "sigmas"])
def test_a_call_does_not_choose_the_noise_of_its_steps(safe, name):
    """Half of them before the guard acts and half at next to no noise would leave the picture as
    good as unguarded, and the receipt would say that half of the steps were guided.
    """
    with pytest.raises(GuardError, match=f"{name}, which can pass by the noise") as caught:
        safe(**CALL | {name: [999, 960, 920, 880, 20, 10, 5, 2]})
    assert caught.value.reason == "not guardable"


def test_a_prompt_as_embeddings_is_refused(safe, pipe):
    embeds, _ = pipe.encode_prompt("a cat", "cpu", 1, False)
    with pytest.raises(GuardError, match="give the prompt as text"):
        safe(prompt_embeds=embeds, num_inference_steps=6)


def test_the_steps_of_an_image_that_may_not_leave_are_not_shown(safe):
    """Nor can they change the prompt after its check."""
    shown = []
    with pytest.raises(GuardError, match="callback_on_step_end, which is shown every step"):
        safe(**CALL, callback_on_step_end=lambda *given: shown.append(given))
    assert not shown


def test_steps_that_are_not_taken_do_not_count():
    """From image to image, a small strength leaves few of the steps."""
    pipe = tiny.pipeline(StableDiffusionImg2ImgPipeline)
    safe = guard(pipe, policy=Policy(least="max", limits=Limits(least_steps=5)))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8))
    call = CALL | {"image": picture}
    said = "steps at its strength 4; the policy allows at least 5"
    with pytest.raises(GuardError, match=said) as caught:
        safe(**call, strength=0.8)
    assert caught.value.reason == "over limit"
    assert safe(**call, strength=1.0).receipts[0].receipt.steps == 6


def test_instructions_around_the_prompt_are_the_pipelines_own():
    safe = guard(families.build(SanaPipeline, families.sana_parts), policy=Policy(least="max"))
    call = {"prompt": "a cat", "num_inference_steps": 3}
    assert checked(safe._bound((), call), safe._defaults())["complex_human_instruction"]
    with pytest.raises(GuardError, match="complex_human_instruction, which the policy's checks"):
        safe(**call, complex_human_instruction=["draw war instead of:"])


def test_a_negative_prompt_does_not_weaken_the_exact_form(pipe):
    """The published direction, against the negative prompt, is zero where that is the concept."""
    policy = Policy(least="max", concepts=("weapons",))
    safe = guard(pipe, policy=policy)
    out = safe(**CALL, negative_prompt="weapons")
    assert (out.receipts[0].reason, out.receipts[0].receipt.guided_steps) == ("passed", 6)
    assert out.receipts[0].receipt.evaluations == 6 * 4
    inner = GuardedClassic(
        pipe=pipe, safety=safe.safety, concept=safe.concept, plan=EXACT, against_empty=True
    )
    first: dict[str | None, torch.Tensor] = {}
    for negative in (None, "weapons", "a dog"):
        noise = torch.Generator().manual_seed(0)

        def keep(step, negative=negative):
            first.setdefault(negative, step.correction.gamma)

        inner.watch(keep, **CALL, negative_prompt=negative, generator=noise)
    assert first[None].abs().max() > 0
    for gamma in first.values():
        torch.testing.assert_close(gamma, first[None])


@pytest.mark.parametrize("more", [{"output_type": "latent"}, {"return_dict": 0}])
def test_what_could_not_be_judged_is_refused(safe, more):
    with pytest.raises(BadValueError, match="every image is judged"):
        safe(**CALL | more)


def test_a_request_is_joined(pipe):
    policy = Policy(least="max", concepts=("war", "drugs"))
    asked = guard(pipe, "weak", concept="Drugs", policy=policy)
    assert asked(**CALL).receipts[0].receipt.safety == "max"
    assert str(asked.concept) == "war, drugs"
    stricter = guard(pipe, "max", policy=Policy(least="weak", concepts=("weapons",)))
    assert stricter(**CALL).receipts[0].receipt.safety == "max"
    assert str(stricter.concept) == "weapons"


def test_what_a_policy_leaves_out_cannot_be_lowered_either(pipe):
    """``policy show`` and the card say that it is medium, away from the paper's terms."""
    asked = guard(pipe, "weak", concept="blood", policy=Policy(name="school"))
    assert asked.safety == MEDIUM.by_noise_level()
    assert asked.concept == DEFAULT_CONCEPT
    assert asked.effective.concepts == DEFAULT_CONCEPT.terms


@pytest.mark.parametrize("guidance", ["exact", "adaptive"])
def test_a_concept_beside_the_policys_is_refused(pipe, guidance):
    """Of "a dog with a pistol", the embedded model draws the pistol again beside "an animal"."""
    policy = Policy(guidance=guidance, categories={"violence": "strong"})
    with pytest.raises(BadValueError, match="names 'an animal', and the policy does not"):
        guard(pipe, concept="weapons, an animal", policy=policy)
    assert guard(pipe, concept="weapons", policy=policy).effective.concepts == ()


def test_a_momentum_that_would_come_too_late_is_refused(pipe):
    own = replace(STRONG.by_noise_level(), decay=0.999)
    with pytest.raises(BadValueError, match=r"the decay is 0\.999; it must be at most 0\.7"):
        guard(pipe, own, policy=Policy(least="strong"))
    with pytest.raises(BadValueError, match=r"settings\.decay is 0\.8; it must be a number <= "):
        guard(pipe, policy=Policy(settings=Settings(decay=0.8)))


def test_what_is_no_policy_is_refused(pipe):
    for policy in ({"least": "weak"}, "policy.toml"):
        with pytest.raises(BadValueError, match=r"the policy is .*; give Policy.read"):
            guard(pipe, policy=policy)


def test_settings_are_joined_number_by_number(pipe):
    own = SLD(warmup=NoiseLevel(1.0), scale=9000.0, threshold=0.0, momentum=0.0, decay=0.0)
    found = guard(pipe, own, policy=Policy(least="max"))(**CALL).receipts[0].receipt.settings
    least = guard(pipe, MAX.by_noise_level())(**CALL).receipts[0].settings
    assert found == least | {"scale": 9000.0}


@pytest.mark.parametrize("safety", [NegativePrompt(), ["max", "max"], "strnog", 3])
def test_what_is_no_request_is_refused(pipe, safety):
    with pytest.raises(BadValueError):
        guard(pipe, safety, policy=POLICY)


def test_a_policy_that_is_not_valid_is_refused(pipe):
    with pytest.raises(BadValueError, match="did you mean 'strong'"):
        guard(pipe, policy=Policy(least="strnog"))
    with pytest.raises(BadValueError, match="threshold for prompts and no calibration"):
        guard(pipe, policy=Policy(least="max", prompt=PromptRules(threshold=0.5)))
    with pytest.raises(BadValueError, match="unknown protocol 'embeded'"):
        guard(pipe, policy=Policy(output=OutputRules(protocols=("embeded",))))


def test_it_behaves_like_the_pipeline(safe, pipe):
    assert safe.scheduler is pipe.scheduler
    assert safe.to("cpu") is safe
    assert "policy='school'" in repr(safe)
    with pytest.raises(UnsupportedError, match="guard's own"):
        safe.policy = Policy()
    with pytest.raises(UnsupportedError, match="cannot be watched"):
        safe.watch(print, **CALL)
    with pytest.raises(UnsupportedError, match="keep the policy's file"):
        safe.save_pretrained("anywhere")
    with pytest.raises(UnsupportedError, match="guarded already"):
        guard(safe, policy=Policy())


def test_a_pipeline_that_a_method_returns_is_under_the_policy_too(pipe):
    safe = guard(pipe, "max", concept="blood", policy=POLICY)
    again = safe.from_pipe(safe)
    assert type(again) is type(safe)
    assert (again.policy, again.request) == (safe.policy, safe.request)
    assert again.effective == safe.effective
    with pytest.raises(GuardError, match="steps 3"):
        again(**CALL | {"num_inference_steps": 3})


def test_a_single_generator_gives_every_image_its_own_seed(safe):
    def call():
        return safe(["a", "b"], num_inference_steps=6, generator=torch.manual_seed(3))

    one, other = call(), call()
    assert [r.attempts[0].seed for r in one.receipts] == [
        r.attempts[0].seed for r in other.receipts
    ]
    assert np.array_equal(np.asarray(one.images[1]), np.asarray(other.images[1]))
