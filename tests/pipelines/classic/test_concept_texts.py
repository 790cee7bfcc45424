"""The texts of several concepts, and adaptive guidance on pipelines that read them."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from safelatent import (
    CATEGORY_CONCEPTS,
    DEFAULT_CONCEPT,
    MAX,
    Adaptive,
    BadValueError,
    Category,
    Concept,
    UnsupportedError,
    guard,
)
from safelatent.guidance import Estimates, categories, classifier_free
from safelatent.guidance.evaluations import Look
from safelatent.pipelines.classic import evaluating
from safelatent.pipelines.classic.concept_texts import ConceptTexts, joined, one_batch
from tests import tiny
from tests.pipelines.classic import tiny_families
from tests.syncs import syncs

STEPS = 12
PROMPT = "a cat with a pistol"
EVERY = Look(uncond="evaluated", concept="evaluated", choices=3, empty="evaluated")
ONE = Look(uncond="evaluated", concept="evaluated", empty="reused")


def text(value: float) -> dict:
    return {
        "encoder_hidden_states": torch.full((1, 2, 4), value),
        "txt_ids": torch.zeros(3, 3),
        "added_cond_kwargs": {"text_embeds": torch.full((1, 5), value)},
    }


THREE = [text(value) for value in (1.0, 2.0, 3.0)]


def test_all_where_one_is_to_be_chosen_and_the_empty_one_last():
    texts = ConceptTexts(THREE, text(0.0)).needed(EVERY, None, 2)
    states = [one["encoder_hidden_states"] for one in texts]
    assert [float(one.mean()) for one in states] == [1.0, 2.0, 3.0, 0.0]
    assert {tuple(one.shape) for one in states} == {(2, 2, 4)}
    assert {tuple(one["txt_ids"].shape) for one in texts} == {(3, 3)}


def test_each_image_gets_its_own_rows():
    with syncs() as counted:
        (chosen,) = ConceptTexts(THREE).needed(ONE, torch.tensor([2, 0, 2]), 3)
    assert counted == []
    assert chosen["encoder_hidden_states"].mean(dim=(1, 2)).tolist() == [3.0, 1.0, 3.0]
    assert chosen["added_cond_kwargs"]["text_embeds"].mean(dim=1).tolist() == [3.0, 1.0, 3.0]
    assert torch.equal(chosen["txt_ids"], THREE[0]["txt_ids"])


def test_one_batch_of_all_and_of_one():
    assert one_batch(THREE)["added_cond_kwargs"]["text_embeds"].shape == (3, 5)
    assert one_batch(THREE[:1]) is THREE[0]


def test_estimates_of_what_was_found():
    u, p, *rest = torch.randn(6, 1, 1, 2, 2)
    every = joined(u, p, rest, EVERY)
    assert (len(every.concepts), every.concept, every.empty is rest[-1]) == (3, None, True)
    one = joined(u, p, rest[:1], ONE)
    assert (one.concepts, one.concept is rest[0], one.empty) == ((), True, None)
    assert joined(u, p, [], ONE).concept is None


# In pipelines.


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


def noise(rows: int = 1, seed: int = 1) -> torch.Tensor:
    return torch.randn((rows, 4, 8, 8), generator=torch.Generator().manual_seed(seed))


def call(pipeline, **changes):
    given = {"prompt": PROMPT, "num_inference_steps": STEPS, "output_type": "latent"}
    return pipeline(**(given | {"latents": noise()} | changes))


TWO = Adaptive(
    categories=(
        Category(name="violence", concept=CATEGORY_CONCEPTS["violence"], strength=MAX),
        Category(name="night", concept=Concept.parse("party, night")),
    ),
    every=4,
)


@torch.no_grad()
def by_hand(pipe, adaptive: Adaptive, negative: str = "", scale: float = 7.5) -> torch.Tensor:
    """The loop written out, every estimate evaluated when it is needed."""
    embed = lambda words: pipe.encode_prompt(words, "cpu", 1, False)[0]  # noqa: E731
    texts = [embed(str(one)) for one in adaptive.concepts]
    empty, prompt, user = embed(""), embed(PROMPT), embed(negative)
    latents, scheduler = noise().double(), pipe.scheduler
    scheduler.set_timesteps(STEPS)
    alphas = scheduler.alphas_cumprod[scheduler.timesteps].sqrt()
    sigmas = (1 - alphas**2).sqrt()
    adaptive = adaptive.on((sigmas / (alphas + sigmas)).tolist())
    state = adaptive.init(latents)
    for i, t in enumerate(scheduler.timesteps):
        of = lambda words, t=t, x=latents: pipe.unet(x, t, words).sample  # noqa: E731
        e = {"uncond": of(user), "prompt": of(prompt)}
        if i % adaptive.every == 0:
            asked = texts[: adaptive.choices(first=i == 0)]
            e |= {"concepts": tuple(map(of, asked))} | ({"empty": of(empty)} if negative else {})
        else:
            e["concept"] = of(texts[int(state.due)])
        correction, state = adaptive.correct(Estimates(**e), state, i)
        latents = scheduler.step(classifier_free(correction, scale), t, latents).prev_sample
    return latents


@pytest.mark.parametrize("negative", ["", "a dog"], ids=["plain", "negative prompt"])
@pytest.mark.parametrize("joined_up_to", [0, 32 * 32], ids=["apart", "joined"])
def test_same_latents_as_the_loop_written_out(monkeypatch, joined_up_to, negative):
    monkeypatch.setattr(evaluating, "JOINED_UP_TO", {"cpu": joined_up_to})
    pipe = tiny.pipeline().to(torch.float64)
    out = call(guard(pipe, TWO), latents=noise().double(), negative_prompt=negative)
    torch.testing.assert_close(out.images, by_hand(pipe, TWO, negative), atol=1e-6, rtol=0)
    assert out.receipts[0].evaluations == 3 * STEPS + 3 * (2 if negative else 1) + 1
    assert [one["step"] for one in out.receipts[0].categories] == [0, 4, 8]


def test_a_row_of_a_batch_is_the_same_request_alone(pipe):
    safe, prompts = guard(pipe, "adaptive"), [PROMPT, "the party at night"]
    together = call(safe, prompt=prompts, latents=noise(2))
    for b, prompt in enumerate(prompts):
        alone = call(safe, prompt=prompt, latents=noise(2)[b : b + 1])
        torch.testing.assert_close(together.images[b : b + 1], alone.images, atol=1e-3, rtol=1e-3)
        assert together.receipts[b].categories == alone.receipts[0].categories


@pytest.mark.parametrize("text", [str(DEFAULT_CONCEPT), str(CATEGORY_CONCEPTS["violence"])])
def test_the_concept_as_prompt_and_as_negative_prompt_is_guarded(pipe, text):
    safe = guard(pipe, "adaptive")
    for given in ({"prompt": text}, {"negative_prompt": text}):
        receipt = call(safe, **given).receipts[0]
        assert receipt.guided_steps >= STEPS - 2
        assert receipt.gamma_ratio > 0.5


@pytest.mark.parametrize(
    ("family", "negative"), [("flux", "a dog"), ("sd3", ""), ("sdxl", "a dog")]
)
def test_other_families(family, negative):
    safe = guard(tiny_families.pipeline(family), TWO)
    given = tiny_families.CALLS[family] | {"negative_prompt": negative, "output_type": "latent"}
    receipt = safe(PROMPT, num_inference_steps=STEPS, **given).receipts[0]
    assert receipt.safety == "adaptive"
    assert receipt.evaluations == 3 * STEPS + 3 * (2 if negative else 1) + 1


def test_a_guarded_step_reads_no_more_than_a_plain_one(pipe):
    def reads(pipeline, steps: int) -> int:
        with syncs() as counted:
            call(pipeline, num_inference_steps=steps)
        return len(counted)

    counts = [[reads(p, steps) for steps in (12, 18)] for p in (pipe, guard(pipe, "adaptive"))]
    plain, guarded = (b - a for pair in counts for a, b in pairwise(pair))
    assert guarded == plain


def test_categories_are_its_own_and_none_is_cut(pipe):
    with pytest.raises(BadValueError, match="adaptive guidance has its own categories"):
        guard(pipe, "adaptive", concept="weapons")
    long = Concept.parse(", ".join(f"cat {n}" for n in range(40)))
    with pytest.raises(BadValueError, match="the text encoder reads 77"):
        guard(
            pipe, Adaptive(categories=categories(concepts={"short": DEFAULT_CONCEPT, "long": long}))
        )
    assert call(guard(pipe, Adaptive(categories=categories()))).receipts


def test_a_denoiser_that_remembers_is_refused(monkeypatch):
    pipe = tiny.pipeline()
    forward = pipe.unet.mid_block.forward
    monkeypatch.setattr(pipe.unet.mid_block, "forward", lambda *a, **k: forward(*a, **k))
    with pytest.raises(UnsupportedError) as caught:
        call(guard(pipe, "adaptive"))
    assert str(caught.value) == (
        "the safety is adaptive, and the forward of this unet, or of a module in it, was replaced "
        "and may count on every evaluation, also on those that are left out; "
        "take a preset or an SLD, or put the original back"
    )
