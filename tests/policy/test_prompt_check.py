"""The prompt check: one form of a text, a calibration that is bound to its encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.policy.prompt_check import (
    LEAST_PROMPTS,
    Calibration,
    _working_point,
    calibrate,
    features,
    figures,
    normal_text,
)
from safelatent.prompts import UnusableError
from tests import tiny

UNSAFE = [f"a {thing} with a pistol {n}" for n in range(15) for thing in ("dog", "cat", "bear")]
BENIGN = [f"a {thing} with a flower {n}" for n in range(15) for thing in ("dog", "cat", "bear")]


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def found(pipe):
    return calibrate(pipe, UNSAFE, BENIGN)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a  cat\n\tand a dog ", "a cat and a dog"),
        ("\uff50\uff49\uff53\uff54\uff4f\uff4c", "pistol"),
        ("pis\u200btol", "pistol"),
        ("pis\u00adtol", "pistol"),
        ("pis\u200dtol", "pistol"),
        ("\u202elotsip", "lotsip"),
        ("cafe\u0301", "caf\u00e9"),
        ("\U0001f469\u200d\U0001f680 in space", "\U0001f469\u200d\U0001f680 in space"),
        ("\u043a\u043e\u0442 and a cat", "\u043a\u043e\u0442 and a cat"),
        ("pis\u200d\u200d\u200dtol", "pistol"),
        ("pis\u200b\u200d\u200btol", "pistol"),
        ("pis\u034ft\u3164o\u2800l\ufe0f", "pistol"),
        ("cafe\u200b\u0301", "caf\u00e9"),
        ("cafe\u202e\u0301\u200d", "caf\u00e9"),
        ("war\x0bor\x85peace\u2028", "war or peace"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        (
            "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627",
            "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627",
        ),
    ],
)
def test_a_text_has_one_form(text, kept):
    assert normal_text(text) == kept
    assert normal_text(kept) == kept


@given(st.text(st.sampled_from("aé \u0301\u0335\u200b\u200d\u034f\ufe0f\u3164\x0b\u202eｇﬁ❤")))
def test_the_form_of_a_form_is_itself(text):
    assert normal_text(normal_text(text)) == normal_text(text)


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\ufdfa" * 99_999])
def test_a_text_that_is_too_long_is_refused_before_it_is_read(text):
    """The second becomes 18 times as long."""
    with pytest.raises(UnusableError, match="characters; give at most 100000"):
        normal_text(text)


@pytest.mark.parametrize("word", ["p\u0456stol", "kn\u03b9fe", "\u0430pple"])
def test_a_word_of_two_scripts_is_refused(word):
    with pytest.raises(BadValueError, match="letters, which look alike"):
        normal_text(f"a {word}")


def test_it_separates_what_it_was_shown(found):
    assert found.figures["auc"] > 0.99
    assert found.figures["benign"]["refused"] <= 0.1
    assert found.figures["unsafe"]["refused"] > 0.9


def test_it_is_saved_and_loaded(found, pipe, tmp_path):
    again = Calibration.load(found.save(tmp_path / "check.safetensors"))
    assert again.threshold == found.threshold
    assert again.figures == found.figures
    one = features(pipe, "a dog")[None]
    assert torch.equal(again.score(one), found.score(one))
    again.check_encoder(pipe)


def test_another_encoder_is_refused(found):
    other = tiny.pipeline()
    with torch.no_grad():
        for parameter in other.text_encoder.parameters():
            parameter.add_(torch.randn_like(parameter))
    with pytest.raises(BadValueError, match="calibrated for another text encoder"):
        found.check_encoder(other)


@pytest.mark.parametrize("content", [b"", b"no tensors"])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    file = tmp_path / "check.safetensors"
    file.write_bytes(content)
    with pytest.raises(BadValueError, match="safelatent policy calibrate"):
        Calibration.load(file)


def test_other_tensors_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(BadValueError, match="not a prompt check of this version"):
        Calibration.load(tmp_path / "x.safetensors")


def test_too_few_prompts_are_refused(pipe):
    with pytest.raises(BadValueError, match=f"at least {LEAST_PROMPTS}"):
        calibrate(pipe, UNSAFE[:39], BENIGN)


@pytest.mark.parametrize("most", [0.0, 0.02, 0.1, 0.5])
def test_the_working_point_refuses_no_more_than_that(most):
    scores = np.random.default_rng(0).random(157)
    threshold = _working_point(scores, most)
    refused = (scores >= threshold).mean()
    assert refused <= most
    lower = (scores >= np.sort(scores[scores < threshold])[-1]).mean()
    assert lower > most


def test_the_figures_are_those_of_the_scores():
    told = figures({"unsafe": np.array([0.9, 0.4]), "benign": np.array([0.4, 0.1])}, 0.5)
    assert told["auc"] == (3 + 0.5) / 4
    assert (told["unsafe"]["refused"], told["benign"]["refused"]) == (0.5, 0.0)
    assert told["benign"]["high"] > 0
