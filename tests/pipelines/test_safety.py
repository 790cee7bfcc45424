"""A safety is one guidance; a concept is words or embeddings."""

from __future__ import annotations

import pytest
import torch

from safelatent import BadValueError, Concept, NegativePrompt, load
from safelatent.guidance import MAX, MEDIUM, WEAK, PerImage
from safelatent.pipelines.guard import guard
from safelatent.pipelines.safety import ConceptEmbeds, concept_of, guidance_of
from tests import tiny

EMBEDS = torch.randn(1, 77, 32)


def test_a_name_settings_or_one_of_them_per_image():
    assert guidance_of("medium", flow=False) == MEDIUM
    assert guidance_of("medium", flow=True) == MEDIUM.by_noise_level()
    assert guidance_of(WEAK, flow=True) is WEAK
    assert isinstance(guidance_of(NegativePrompt(), flow=False), NegativePrompt)
    both = guidance_of(["weak", MAX], flow=False)
    assert isinstance(both, PerImage)
    assert list(both.settings) == [WEAK, MAX]


@pytest.mark.parametrize("safety", ["stong", "off", "", None, 3, [], ["weak", "x"], {"weak"}])
def test_what_is_no_safety_is_refused_in_one_line(safety):
    with pytest.raises(BadValueError, match=r"^[^\n]+$"):
        guidance_of(safety, flow=False)


@pytest.mark.parametrize(("given", "meant"), [("adaptiv", "adaptive"), ("Stong", "strong")])
def test_what_is_nearly_a_safety_is_answered_with_it(given, meant):
    with pytest.raises(BadValueError, match=f"did you mean '{meant}'.*max, adaptive"):
        guidance_of(given, flow=False)


def test_words_or_embeddings():
    assert concept_of("weapons, blood") == Concept.parse("weapons, blood")
    embeds = ConceptEmbeds(text=" weapons ,blood", prompt_embeds=EMBEDS)
    assert concept_of(embeds) is embeds
    assert (str(embeds), repr(embeds)) == (
        "weapons, blood",
        "ConceptEmbeds(text='weapons, blood', ...)",
    )
    with pytest.raises(BadValueError, match="it must be text"):
        concept_of(EMBEDS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": "\u200b"}, "the concept is empty"),
        ({"prompt_embeds": EMBEDS[0]}, r"prompt_embeds is \(77, 32\); it must be a tensor \(1, to"),
        ({"prompt_embeds": EMBEDS.repeat(2, 1, 1)}, r"prompt_embeds is \(2, 77, 32\)"),
        ({"prompt_embeds": EMBEDS.numpy()}, "prompt_embeds is ndarray"),
        ({"prompt_embeds": None}, "prompt_embeds is NoneType"),
        ({"prompt_embeds": EMBEDS / 0}, "holds NaN or infinity"),
        ({"pooled_prompt_embeds": EMBEDS}, r"pooled_prompt_embeds is \(1, 77, 32\)"),
        ({"prompt_attention_mask": torch.ones(77)}, r"prompt_attention_mask is \(77,\)"),
    ],
)
def test_embeddings_of_another_form_are_refused(given, message):
    with pytest.raises(BadValueError, match=message):
        ConceptEmbeds(**({"text": "weapons", "prompt_embeds": EMBEDS} | given))


def test_embeddings_that_the_pipeline_does_not_take_are_refused():
    pipe = tiny.pipeline()
    concept = ConceptEmbeds(
        text="weapons", prompt_embeds=EMBEDS, pooled_prompt_embeds=torch.ones(1, 32)
    )
    with pytest.raises(BadValueError, match=r"has pooled_prompt_embeds, which .* does not have"):
        guard(pipe, "max", concept=concept)


def test_a_saved_guard_keeps_the_embeddings_and_names_the_words(tmp_path):
    pipe = tiny.pipeline()
    embeds, _ = pipe.encode_prompt("a pistol", "cpu", 1, False)
    safe = guard(pipe, "max", concept=ConceptEmbeds(text="a pistol", prompt_embeds=embeds))
    call = {"prompt": "a pirate", "num_inference_steps": 4, "output_type": "latent"}
    out = safe(**call, generator=torch.manual_seed(0))
    again = tiny.quiet(load(str(safe.save_pretrained(tmp_path / "safe"))))
    assert isinstance(again.concept, ConceptEmbeds)
    same = again(**call, generator=torch.manual_seed(0))
    torch.testing.assert_close(same.images, out.images)
    assert same.receipts == out.receipts
    assert out.receipts[0].concept == "a pistol"
    (tmp_path / "safe" / "concept.safetensors").write_bytes(b"damaged")
    with pytest.raises(Exception, match="does not hold a concept's embeddings") as refused:
        load(str(tmp_path / "safe"))
    assert type(refused.value).__name__ == "UnsupportedError"


def test_embeddings_are_no_longer_the_callers():
    own = EMBEDS.clone()
    concept = ConceptEmbeds(text="weapons", prompt_embeds=own)
    own.zero_()
    assert torch.equal(concept.prompt_embeds, EMBEDS)


def test_embeddings_are_written_whole(tmp_path, monkeypatch):
    file, concept = tmp_path / "concept", ConceptEmbeds(text="weapons", prompt_embeds=EMBEDS)
    concept.save(file)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        ConceptEmbeds(text="weapons", prompt_embeds=2 * EMBEDS).save(file)
    assert torch.equal(ConceptEmbeds.load("weapons", file).prompt_embeds, EMBEDS)
