"""How much of a prompt is read, which prompts are cut, and the concept as words or embeddings."""

from __future__ import annotations

import copy
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline

from safelatent import BadValueError, GuardError, UnsupportedError, guard
from safelatent.pipelines.classic import text
from safelatent.pipelines.classic.text import cut_prompts, default_length
from safelatent.pipelines.safety import ConceptEmbeds
from tests import tiny
from tests.pipelines.classic.tiny_families import CALLS, KINDS, build, pipeline, words_tokenizer

ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")


@pytest.mark.parametrize(
    ("kind", "read", "default"),
    [
        ("sdxl", 77, None),
        ("sd3", 77, 256),  # without its T5
        ("flux", 512, 512),
        ("pixart", 120, 120),
        ("sana", 300, 300),
    ],
)
def test_the_reader_of_most_decides(kind, read, default):
    pipe = pipeline(kind)
    assert default_length(pipe) == default
    fits, long = "cat " * (read // 2), "cat " * read * 2
    cut, limit = cut_prompts(pipe, [fits, long, long])
    assert limit == read
    assert [text for text, _ in cut] == [long, long]
    assert all(count > read for _, count in cut)


def test_stable_diffusion_reads_77_tokens_begin_and_end_among_them():
    pipe = tiny.pipeline()
    assert default_length(pipe) is None
    assert cut_prompts(pipe, ["cat " * 75]) == ([], 77)
    assert cut_prompts(pipe, ["cat " * 76]) == ([("cat " * 76, 78)], 77)


@torch.no_grad()
def encoded(pipe, kind: str, text: str) -> dict:
    """By the pipeline's own ``encode_prompt``, under the names of its arguments."""
    if kind == "flux":
        both = pipe.encode_prompt(text, None, max_sequence_length=64)[:2]
        found = dict(zip(("prompt_embeds", "pooled_prompt_embeds"), both, strict=True))
    elif kind in ("sdxl", "sd3"):
        more = {} if kind == "sdxl" else {"prompt_2": None, "prompt_3": None}
        embeds, _, pooled, _ = pipe.encode_prompt(text, do_classifier_free_guidance=False, **more)
        found = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
    elif kind == "sd":
        found = {"prompt_embeds": pipe.encode_prompt(text, "cpu", 1, False)[0]}
    else:
        more = {"complex_human_instruction": None} if kind == "sana" else {}
        embeds, mask, _, _ = pipe.encode_prompt(text, False, max_sequence_length=64, **more)
        found = {"prompt_embeds": embeds, "prompt_attention_mask": mask}
    return found


def by_embeddings(pipe, kind: str, prompts: list[str]) -> dict:
    """A call's arguments, without a word of text."""
    call = {"num_inference_steps": 4, "output_type": "latent", "prompt": None}
    call |= CALLS.get(kind, {"height": 8, "width": 8}) | {"negative_prompt": None}
    rows = [encoded(pipe, kind, text) for text in (*prompts, "")]
    for name in rows[0]:
        call[name] = torch.cat([row[name] for row in rows[:-1]])
        call[f"negative_{name}"] = torch.cat([rows[-1][name]] * len(prompts))
    return call | {"generator": [torch.Generator().manual_seed(n) for n in range(len(prompts))]}


def fresh(kind: str):
    """In double precision, where it works: random weights magnify what the order of sums rounds."""
    if kind == "sd":
        return tiny.pipeline().to(torch.float64)
    made, parts = KINDS[kind]
    pipe = build(made, parts)
    return pipe if kind in ("sana", "flux") else pipe.to(torch.float64)


@pytest.mark.parametrize("tokenizers", [True, False], ids=["tokenizers left", "no tokenizers"])
@pytest.mark.parametrize("kind", ["sd", *KINDS])
def test_without_text_encoders_the_concept_comes_as_embeddings(kind, tokenizers):
    """As with the text encoders and words, one prompt or two, and receipts name the words."""
    whole = fresh(kind)
    embeds = encoded(whole, kind, "a pistol")
    concept = ConceptEmbeds(text="a pistol", **embeds)
    calls = [by_embeddings(whole, kind, texts) for texts in (["a cat"], ["a cat", "the dog"])]
    wanted = [guard(whole, "max", concept="a pistol")(**copy.deepcopy(call)) for call in calls]
    plain = whole(**copy.deepcopy(calls[0])).images
    for name in ENCODERS:
        if hasattr(whole, name):
            setattr(whole, name, None)
            if not tokenizers:
                setattr(whole, name.replace("text_encoder", "tokenizer"), None)
    missing = "text_encoder" if tokenizers else "text encoder"
    with pytest.raises(
        UnsupportedError, match=rf"^this \w+ has no {missing}[^\n]* concept=ConceptEmbeds[^\n]*$"
    ):
        guard(whole, "max", concept="a pistol")
    assert torch.equal(whole(**copy.deepcopy(calls[0])).images, plain)
    for call, out in zip(calls, wanted, strict=True):
        ours = guard(whole, "max", concept=concept)(**copy.deepcopy(call))
        torch.testing.assert_close(ours.images, out.images, atol=1e-4, rtol=1e-4)
        assert [receipt.concept for receipt in ours.receipts] == ["a pistol"] * len(out.receipts)
    assert not torch.allclose(plain, wanted[0].images, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "gone"),
    [
        ("sdxl", ["text_encoder_2", "tokenizer_2"]),
        ("sdxl", ["tokenizer"]),
        ("flux", ["text_encoder", "tokenizer"]),
        ("flux", ["text_encoder_2", "tokenizer_2"]),
        ("flux", ["tokenizer_2"]),
        ("sd3", ["text_encoder", "tokenizer"]),
        ("sd3", ["tokenizer_2"]),
    ],
)
def test_without_one_of_several_the_missing_ones_are_named(kind, gone):
    pipe = build(*KINDS[kind], **dict.fromkeys(gone))
    with pytest.raises(UnsupportedError, match=rf"has no {' and no '.join(gone)} to read"):
        guard(pipe, "max")


def test_the_refiner_of_stable_diffusion_xl_reads_without_the_first_encoder():
    assert guard(build(*KINDS["sdxl"], text_encoder=None, tokenizer=None), "max")


@pytest.mark.parametrize("kind", ["pixart", "sana"])
def test_embeddings_with_neither_prompt_nor_negative_prompt(kind):
    pipe = fresh(kind)
    call = by_embeddings(pipe, kind, ["a cat"])
    words = {
        name: value for name, value in call.items() if not name.endswith(("embeds", "mask"))
    } | {"prompt": "a cat", "negative_prompt": ""}
    by_words = guard(pipe, "max")(**copy.deepcopy(words)).images
    torch.testing.assert_close(guard(pipe, "max")(**call).images, by_words, atol=1e-4, rtol=1e-4)


def test_stable_diffusion_3_reads_without_its_third_encoder():
    pipe = fresh("sd3")
    pipe.tokenizer_3 = words_tokenizer()
    assert guard(pipe, "max", concept="a pistol")


def test_the_concepts_embeddings_are_checked():
    pipe = fresh("sdxl")
    embeds = encoded(pipe, "sdxl", "a pistol")["prompt_embeds"]
    with pytest.raises(BadValueError, match=r"has no pooled_prompt_embeds, which .* needs"):
        guard(pipe, "max", concept=ConceptEmbeds(text="a pistol", prompt_embeds=embeds))


def test_embeddings_of_another_text_encoder_are_one_line():
    whole, pipe = tiny.pipeline(), tiny.pipeline(text_encoder=None, tokenizer=None)
    prompt, negative = whole.encode_prompt("a cat", "cpu", 1, True)
    concept = ConceptEmbeds(text="a pistol", prompt_embeds=torch.rand(1, 77, 20))
    safe = guard(pipe, "max", concept=concept)
    with pytest.raises(BadValueError, match=r"^the concept's text .* width 20, the prompt's 32;"):
        safe(prompt_embeds=prompt, negative_prompt_embeds=negative, num_inference_steps=2)


@pytest.mark.parametrize(("device", "of"), [("cpu", ()), ("mps", ()), ("cuda:1", ("cuda:1",))])
def test_without_a_generator_the_state_of_one_device_is_kept(monkeypatch, device, of):
    """Of all GPUs of a machine, torch warns."""
    asked: list[Any] = []
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: asked.append(devices))
    pipe = SimpleNamespace(_execution_device=torch.device(device))
    text._global_state_kept(pipe, {"generator": None})
    text._global_state_kept(pipe, {"generator": torch.Generator()})
    assert asked == [tuple(map(torch.device, of))]


@pytest.mark.parametrize("output_type", ["latent", "pil"])
@pytest.mark.parametrize("strengths", [(0.05,), (1.0, 0.05), (1.0, 0.0)], ids=str)
def test_a_call_of_no_steps_says_so(strengths, output_type):
    """Also the second call, whose concept is known from the first."""
    safe = guard(tiny.pipeline(StableDiffusionImg2ImgPipeline), "max")
    picture = torch.rand(1, 3, 8, 8)

    def call(strength: float):
        return safe(
            "a cat",
            image=picture,
            strength=strength,
            num_inference_steps=4,
            output_type=output_type,
        )

    *before, last = strengths
    for strength in before:
        call(strength)
    with pytest.raises(GuardError, match=r"took no denoising step, .* a larger strength"):
        call(last)


def test_calls_of_eight_threads_on_one_pipeline_end_in_one_clear_error():
    """Plain ones among them. They read no text, since tokenizers cannot be shared by threads."""
    pipe, before = tiny.pipeline(), sys.getswitchinterval()
    safe = guard(pipe, "max")
    texts = dict(
        zip(
            ("prompt_embeds", "negative_prompt_embeds"),
            pipe.encode_prompt("a cat with a pistol", "cpu", 1, True),
            strict=True,
        )
    )

    def outcome(n: int) -> str:
        call = {"num_inference_steps": 4, "output_type": "latent"}
        call["generator"] = torch.Generator().manual_seed(n)
        try:
            (pipe if n % 2 else safe)(**texts, **call)
        except GuardError as refused:
            return str(refused).rpartition("; ")[2]
        except (RuntimeError, IndexError, ValueError):
            if n % 2:  # diffusers itself cannot share a pipeline among threads
                return "drawn"
            raise
        return "drawn"

    sys.setswitchinterval(1e-4)
    try:
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(outcome, range(48)))
    finally:
        sys.setswitchinterval(before)
    assert set(outcomes) - {"drawn"} == {"give each thread its own pipeline"}
    assert safe("a cat", num_inference_steps=4).receipts  # nothing is left behind
