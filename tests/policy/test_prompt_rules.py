"""The prompt's checks at work, and what closes the gate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image
from transformers import BertConfig, BertForSequenceClassification

from safelatent import guard
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.policy import Policy, PromptRules
from safelatent.policy.prompt_check import calibrate
from safelatent.policy.prompt_rules import PromptGate
from tests import tiny
from tests.policy.test_prompt_check import BENIGN, UNSAFE


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def file(pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    return calibrate(pipe, UNSAFE, BENIGN).save(folder / "check.safetensors")


def asked(gate, pipe, text):
    from safelatent.pipelines.classic.checks import bind_call

    arguments = bind_call(pipe, (), {"prompt": text})
    return gate.check(pipe, arguments, gate.fault(pipe, arguments))


def test_a_prompt_near_the_unsafe_ones_is_refused(pipe, file):
    gate = PromptGate.of(PromptRules(calibration=str(file)))
    texts, checks, reason, message = asked(gate, pipe, f" {UNSAFE[2]}")
    assert (texts["prompt"], reason) == (UNSAFE[2], "prompt refused")
    assert checks[0].label == "inappropriate"
    assert f"from {gate.threshold:.2f} on refused" in message
    assert asked(gate, pipe, BENIGN[2])[2] is None


@pytest.mark.parametrize("name", ["prompt_2", "prompt_3"])
def test_the_rule_about_minors_reads_the_texts_of_all_encoders_together(pipe, name):
    given = {"prompt": "a young girl", name: "nude"}
    texts, _, reason, message = PromptGate().check(pipe, given, None)
    assert (texts, reason) == ({}, "prompt refused")
    assert "combines words for minors with sexual content" in message
    assert PromptGate().check(pipe, given | {name: "a cat"}, None)[2] is None


def test_the_rule_about_minors_reads_codes_of_characters(pipe):
    """Wan's text encoder would read letters there, after the rule has seen none."""
    said = PromptGate().check(pipe, {"prompt": "a n&#117;de g&#105;rl"}, None)
    assert said[2] == "prompt refused"


def test_the_policys_own_threshold_holds(pipe, file):
    gate = PromptGate.of(PromptRules(calibration=str(file), threshold=0.0))
    assert asked(gate, pipe, "a wolf with a flower")[2] == "prompt refused"


def test_another_encoder_closes_the_gate(file):
    other = tiny.pipeline()
    with torch.no_grad():
        for parameter in other.text_encoder.parameters():
            parameter.add_(torch.randn_like(parameter))
    gate = PromptGate.of(PromptRules(calibration=str(file)))
    _, _, reason, message = asked(gate, other, "a wolf with a flower")
    assert reason == "checker failed"
    assert "another text encoder" in message


@pytest.mark.parametrize("answer", [float("nan"), -0.1, 1.5])
def test_a_classifier_that_answers_nonsense_closes_the_gate(pipe, answer):
    gate = PromptGate(classifier=lambda _: answer)
    assert asked(gate, pipe, "a wolf")[2] == "checker failed"


def test_a_classifier_that_raises_closes_the_gate(pipe):
    def broken(_: str) -> float:
        raise RuntimeError("out of memory")

    _, checks, reason, message = asked(PromptGate(classifier=broken), pipe, "a wolf")
    assert reason == "checker failed"
    assert (checks[0].name, checks[0].message) == ("classifier", "RuntimeError: out of memory")
    assert message == "classifier: RuntimeError: out of memory"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Two labels, of which one always has the probability .73."""
    from transformers import BertTokenizer

    folder = tmp_path_factory.mktemp("classifier")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=5,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        id2label={0: "fine", 1: "toxic"},
        label2id={"fine": 0, "toxic": 1},
    )
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 1.0]))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", [".", "absent", "a\0b"])
def test_a_classifier_that_cannot_be_loaded_is_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    rules = PromptRules(classifier=name, unsafe=("toxic",))
    with pytest.raises(UnsupportedError, match=r"the policy's classifier .* cannot be loaded: .*"):
        PromptGate.of(rules)


@pytest.mark.parametrize(("threshold", "reason"), [(0.7, "prompt refused"), (0.8, None)])
def test_a_text_classifier_of_transformers(pipe, classifier, threshold, reason):
    rules = PromptRules(
        classifier=str(classifier), unsafe=("toxic",), classifier_threshold=threshold
    )
    _, checks, found, _ = asked(PromptGate.of(rules), pipe, "a wolf")
    assert found == reason
    assert checks[0].score == pytest.approx(0.7311, abs=1e-3)


def test_what_a_classifier_would_cut_off_closes_the_gate(pipe, classifier):
    gate = PromptGate.of(PromptRules(classifier=str(classifier), unsafe=("toxic",)))
    assert asked(gate, pipe, "a " * 510)[2] == "prompt refused"
    _, _, reason, message = asked(gate, pipe, "a " * 511)
    assert reason == "checker failed"
    assert "the prompt has 513 tokens, and the classifier" in message
    assert "reads 512; shorten it" in message


def test_a_label_that_it_does_not_have(classifier):
    with pytest.raises(BadValueError, match="has no label 'nsfw'; its labels are fine, toxic"):
        PromptGate.of(PromptRules(classifier=str(classifier), unsafe=("nsfw",)))


@pytest.mark.parametrize("revision", [None, "main"])
def test_a_hub_id_needs_its_commit(revision):
    rules = PromptRules(classifier="owner/name", revision=revision, unsafe=("toxic",))
    with pytest.raises(BadValueError, match=r"revision of 'owner/name' is .*; name its commit"):
        PromptGate.of(rules)


def test_a_prompt_is_read_from_image_to_image_too(file):
    """However small the strength is: of the two steps that reading takes it would leave none."""
    pipe = tiny.pipeline(StableDiffusionImg2ImgPipeline)
    rules = PromptRules(calibration=str(file))
    safe = guard(pipe, policy=Policy(least="max", prompt=rules))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8))
    call = {"image": picture, "strength": 0.4, "num_inference_steps": 10}
    out = safe([BENIGN[2], UNSAFE[2]], **call)
    assert [one.reason for one in out.receipts] == ["passed", "prompt refused"]


def test_the_encoder_is_looked_at_once_per_call(pipe, file, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "safelatent.policy.prompt_check.Calibration.check_encoder",
        lambda *_: seen.append(None),
    )
    safe = guard(pipe, policy=Policy(least="max", prompt=PromptRules(calibration=str(file))))
    safe([BENIGN[2], BENIGN[5]], num_inference_steps=6)
    assert len(seen) == 1
