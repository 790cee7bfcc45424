"""Policies on modular pipelines: prompt check, guidance, output check, for each family."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from safelatent import UnsupportedError, guard
from safelatent.errors import BadValueError, GuardError, SafelatentError
from safelatent.guidance import MAX
from safelatent.policy import Limits, OutputRules, Policy, PromptRules
from safelatent.policy.prompt_check import PROBES, Calibration, features
from tests.pipelines.modular import tiny_modular
from tests.pipelines.modular.tiny_modular import CALL, PARTS, SIZE
from tests.policy.scripted import Raising, Scripted

VIDEOS = ("wan", "wan22", "hunyuan")
IMAGES = [family for family in PARTS if family not in VIDEOS]
POLICY = Policy(
    name="school",
    least="max",
    concepts=("weapons",),
    output=OutputRules(protocols=("embedded",), retries=1),
    limits=Limits(least_steps=4, most_steps=8, most_images=2, most_side=32),
)


@pytest.fixture(scope="module", autouse=True)
def short():
    with tiny_modular.short_texts():
        yield


@pytest.fixture(scope="module")
def pipes():
    made = {}

    def pipe(family: str):
        if family not in made:
            made[family] = tiny_modular.pipeline(family)
        return made[family]

    return pipe


@pytest.fixture
def under(monkeypatch):
    def make(pipe, protocol, policy: Policy = POLICY):
        monkeypatch.setattr("safelatent.policy.enforce.named_protocol", lambda *_: protocol)
        return guard(pipe, policy=policy)

    return make


def call(family: str, seed: int = 1, **more):
    noise = torch.Generator().manual_seed(seed)
    given = {"prompt": "a cat", "num_inference_steps": 4, "generator": noise}
    return given | CALL.get(family, SIZE) | more


def same(a, b) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("family", IMAGES)
def test_the_whole_way_on_every_family(family, pipes, under):
    """Drawn as the guard draws, judged, drawn again from another seed, released with a receipt."""
    pipe, protocol = pipes(family), Scripted(script=["inappropriate"])
    out = under(pipe, protocol)(**call(family))
    plain = guard(pipe, MAX.by_noise_level(), concept="weapons")(
        **call(family), output=["images", "receipts"]
    )
    (receipt,) = out.receipts
    assert same(protocol.seen[0], plain["images"][0])
    assert same(out.images[0], protocol.seen[1])
    assert not same(*protocol.seen)
    assert (receipt.outcome, len(receipt.attempts)) == ("released", 2)
    assert receipt.receipt.safety == "max"
    assert receipt.receipt.guided_steps >= 3  # flow has nothing to act on at pure noise
    assert receipt.effective["least"] == "max"
    assert len(receipt.effective["hash"]) == 64


def test_the_good_images_of_a_batch_are_kept(pipes, under):
    protocol = Scripted(script=["safe", "inappropriate", "inappropriate"])
    noise = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    asked = call("sdxl", prompt=["a cat", "a dog"], generator=noise)
    out = under(pipes("sdxl"), protocol)(**asked)
    assert same(out.images[0], protocol.seen[0])
    assert out.images[1] is None
    assert [one.outcome for one in out.receipts] == ["released", "refused"]
    assert out.receipts[1].reason == "output refused"


def test_a_check_that_raises_closes_the_gate(pipes, under):
    out = under(pipes("sdxl"), Raising())(**call("sdxl"))
    assert out.images == [None]
    assert out.receipts[0].reason == "checker failed"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"num_inference_steps": 3}, "steps 3; the policy allows at least 4 and at most 8"),
        ({"num_images_per_prompt": 3}, "images 3; the policy allows at most 2"),
        ({"prompt": ["a"] * 3}, "images 3"),
        ({"height": 64}, "side 64"),
        ({"latents": torch.zeros(1, 4, 64, 64)}, "side"),
    ],
)
def test_a_call_beyond_a_limit_is_refused(pipes, under, more, said):
    with pytest.raises(GuardError, match=said) as caught:
        under(pipes("sdxl"), Scripted(script=[]))(**call("sdxl", **more))
    assert caught.value.reason == "over limit"


@pytest.mark.parametrize("family", IMAGES)
def test_the_size_of_every_family_is_held_to_the_limit(family, pipes, under):
    """Also the one that it draws where the call names none."""
    policy = msgspec.structs.replace(POLICY, limits=Limits(most_side=7))
    safe = under(pipes(family), Scripted(script=[]), policy)
    asked = call(family)
    with pytest.raises(GuardError, match="side 16; the policy allows at most 7") as caught:
        safe(**asked)
    assert caught.value.reason == "over limit"
    said = "give height and width" if family == "flux3" else "the policy allows at most 7"
    with pytest.raises(SafelatentError, match=said):
        safe(**asked | {"height": None, "width": None})


@pytest.mark.parametrize("family", IMAGES)
def test_a_prompt_is_refused_before_anything_is_drawn(family, pipes, under, tmp_path):
    pipe = pipes(family)
    asked = call(family)
    bad, probes = features(pipe, "war", asked), [features(pipe, one, asked) for one in PROBES]
    direction = bad - features(pipe, "a cat", asked)
    check = Calibration(
        direction=1e4 * direction / direction.norm() ** 2,
        centre=(bad + features(pipe, "a cat", asked)) / 2,
        threshold=0.5,
        probes=torch.stack(probes),
        figures={},
    )
    file = check.save(tmp_path / "prompt.safetensors")
    policy = msgspec.structs.replace(POLICY, prompt=PromptRules(calibration=str(file)))
    protocol = Scripted(script=[])
    safe = under(pipe, protocol, policy)
    refused = safe(**call(family, prompt="war"))
    assert (refused.images, refused.receipts[0].reason) == ([None], "prompt refused")
    assert not protocol.seen
    assert float(check.score(features(pipe, "a cat", asked)[None])) < 0.01


def test_a_check_for_another_encoder_closes_the_gate(pipes, under, tmp_path):
    pipe = pipes("sd3")
    width = len(features(pipe, "war", call("sd3")))
    check = Calibration(
        direction=torch.ones(width).double(),
        centre=torch.zeros(width).double(),
        threshold=0.5,
        probes=torch.eye(len(PROBES), width).double(),
        figures={},
    )
    file = check.save(tmp_path / "prompt.safetensors")
    policy = msgspec.structs.replace(POLICY, prompt=PromptRules(calibration=str(file)))
    out = under(pipe, Scripted(script=[]), policy)(**call("sd3"))
    assert (out.images, out.receipts[0].reason) == ([None], "checker failed")


@pytest.mark.parametrize("family", tiny_modular.present(*VIDEOS))
def test_every_frame_of_a_video_is_judged(family, pipes, under):
    """One flagged frame, and the whole video is drawn again from another seed."""
    pipe, protocol = pipes(family), Scripted(script=["safe"] * 3 + ["inappropriate"])
    out = under(pipe, protocol)(**call(family))
    asked = call(family) | {"output_type": "pil"}
    plain = guard(pipe, MAX.by_noise_level(), concept="weapons")(
        **asked, output=["videos", "receipts"]
    )
    first, second = protocol.seen[:5], protocol.seen[5:]
    assert all(map(same, first, plain["videos"][0]))
    assert all(map(same, out.images[0], second))
    assert not same(first[0], second[0])
    (receipt,) = out.receipts
    assert (receipt.outcome, len(receipt.attempts)) == ("released", 2)
    assert "scripted: script inappropriate (1.00), frame 3" in receipt.attempts[0].message
    assert [len(one.checks) for one in receipt.attempts] == [1, 1]


@pytest.mark.parametrize("family", tiny_modular.present("wan"))
def test_a_flagged_video_is_refused_and_its_limits_hold(family, pipes, under):
    policy = msgspec.structs.replace(POLICY, output=OutputRules(protocols=("embedded",)))
    safe = under(pipes(family), Scripted(script=["inappropriate"]), policy)
    two = call(family, num_videos_per_prompt=2, generator=None)
    assert [video is None for video in safe(**two).images] == [True, False]
    with pytest.raises(GuardError, match="images 3; the policy allows at most 2"):
        safe(**call(family, num_videos_per_prompt=3))
    with pytest.raises(GuardError, match=r"side \d+; the policy allows at most 32"):
        safe(**call(family, latents=torch.zeros(1, 4, 3, 32, 32)))


def test_what_makes_no_picture_is_refused(pipes):
    pipe = tiny_modular.pipeline("sd3")
    pipe._blocks.sub_blocks.pop("decode")
    with pytest.raises(UnsupportedError, match=r"every image is judged, and this .* makes none"):
        guard(pipe, policy=POLICY)


def test_what_would_go_past_the_policy_is_refused(pipes, under):
    safe = under(pipes("sdxl"), Scripted(script=[]))
    with pytest.raises(BadValueError, match="leave out output"):
        safe(**call("sdxl"), output="images")
    with pytest.raises(BadValueError, match="leave out state"):
        safe(**call("sdxl"), state=object())
    with pytest.raises(BadValueError, match="by name alone"):
        safe("a cat")
    with pytest.raises(BadValueError, match="every image is judged"):
        safe(**call("sdxl", output_type="latent"))
    with pytest.raises(
        GuardError, match="gives negative_prompt, against which the guard"
    ) as caught:
        safe(**call("sdxl", negative_prompt="weapons"))
    assert caught.value.reason == "not guardable"
    assert safe(**call("sdxl", negative_prompt=" ")).receipts[0].outcome == "released"
    with pytest.raises(TypeError, match="has no input 'promt'"):
        safe(**call("sdxl", promt="a dog"))
    with pytest.raises(UnsupportedError, match="cannot be watched"):
        safe.watch(print, **call("sdxl"))
    with pytest.raises(UnsupportedError, match="adaptive guidance is for classic pipelines"):
        under(pipes("sdxl"), Scripted(script=[]), Policy(guidance="adaptive"))


def test_a_block_that_rewrites_the_prompt_after_the_check_is_refused(pipes):
    from diffusers import ModularPipelineBlocks
    from diffusers.modular_pipelines import OutputParam

    class Rewriting(ModularPipelineBlocks):
        @property
        def intermediate_outputs(self):
            return [OutputParam("prompt")]

    pipe = tiny_modular.pipeline("sd3")
    pipe._blocks.sub_blocks.insert("rewriting", Rewriting(), 0)
    with pytest.raises(UnsupportedError, match=r"'rewriting' .* rewrites the prompt"):
        guard(pipe, policy=POLICY)
