"""Concepts are encoded once, and anew wherever anything that they depend on changed."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from safelatent import guard
from safelatent.pipelines.classic import encoding
from safelatent.pipelines.encoded import EncodedConcepts
from tests import tiny
from tests.pipelines.classic import tiny_families


@pytest.fixture
def counted(monkeypatch):
    """Every concept that is encoded."""
    seen: list[str] = []
    own = encoding.encode_concept

    def encode(pipe, family, concept, *, arguments):
        seen.append(str(concept))
        return own(pipe, family, concept, arguments)

    monkeypatch.setattr(encoding, "encode_concept", encode)
    return seen


def call(pipeline, **changes):
    latents = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    given = {"prompt": "a cat", "num_inference_steps": 2, "output_type": "latent"}
    return pipeline(**(given | {"latents": latents} | changes)).images


def test_a_second_call_encodes_nothing_and_draws_the_same(counted):
    pipe = tiny.pipeline()
    safe = guard(pipe, "max", concept="violence, blood")
    first = call(safe)
    again = call(safe)
    assert counted == ["violence, blood"]
    assert torch.equal(first, again)
    call(safe, prompt="a dog", num_inference_steps=3, guidance_scale=4.0, negative_prompt="a cat")
    assert len(counted) == 1
    assert torch.equal(call(guard(pipe, "max", concept="violence, blood")), first)
    assert len(counted) == 2, "another guard begins empty"


def in_place(pipe):
    with torch.no_grad():
        pipe.text_encoder.get_input_embeddings().weight.mul_(1.01)


def behind_its_back(pipe):
    """As a merged LoRA does: no version is counted."""
    pipe.text_encoder.get_input_embeddings().weight.data *= 1.01


def one_token(pipe):
    """As a token is learnt or erased: one row of thousands, and no version is counted."""
    (token,) = pipe.tokenizer("weapons", add_special_tokens=False).input_ids
    pipe.text_encoder.get_input_embeddings().weight.data[token] = 3.0


def another_encoder(pipe):
    pipe.text_encoder = copy.deepcopy(pipe.text_encoder)


def another_dtype(pipe):
    pipe.to(torch.float64)


def another_tokenizer(pipe):
    pipe.tokenizer = copy.deepcopy(pipe.tokenizer)


@pytest.mark.parametrize(
    "change",
    [in_place, behind_its_back, one_token, another_encoder, another_dtype, another_tokenizer],
)
def test_what_changed_is_seen_by_the_next_call(counted, change):
    pipe = tiny.pipeline()
    safe = guard(pipe, "max")
    call(safe)
    change(pipe)
    latents = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    found = call(safe, latents=latents.to(pipe.unet.dtype))
    assert len(counted) == 2
    fresh = call(guard(pipe, "max"), latents=latents.to(pipe.unet.dtype))
    assert torch.equal(found, fresh)


def test_what_autocast_rounds_is_encoded_anew_without_it(counted):
    pipe = tiny.pipeline()
    safe = guard(pipe, "max")
    with torch.autocast("cpu", torch.bfloat16):
        within = call(safe)
    after = call(safe)
    assert len(counted) == 2
    assert torch.equal(after, call(guard(pipe, "max")))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(call(safe), within)


def test_what_cannot_be_compared_is_encoded_in_every_call(counted):
    pipe = tiny.pipeline()
    handle = pipe.text_encoder.register_forward_hook(lambda *_: None)
    safe = guard(pipe, "max")
    call(safe)
    call(safe)
    assert len(counted) == 2
    handle.remove()
    call(safe)
    call(safe)
    assert len(counted) == 3


def test_what_transformers_hooks_to_read_hidden_states_is_no_change(counted):
    """As Stable Diffusion XL asks of its text encoders."""
    pipe = tiny_families.build(*tiny_families.KINDS["sdxl"])
    safe = guard(pipe, "max", concept="violence, blood")
    for _ in range(2):
        safe("a cat", num_inference_steps=2, output_type="latent", **tiny_families.CALLS["sdxl"])
    assert len(counted) == 1


def test_a_copy_begins_empty():
    one = EncodedConcepts()
    one._kept = "something", None, []
    for other in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert other._kept[0] is None
