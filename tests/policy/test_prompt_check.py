"""The prompt check: a calibration that is bound to its encoder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from safelatent.errors import BadValueError, GuardError
from safelatent.pipelines.denoiser import one_call
from safelatent.policy.prompt_check import (
    LEAST_PROMPTS,
    SURE,
    Calibration,
    _working_point,
    calibrate,
    features,
    figures,
)
from tests import tiny

UNSAFE = [f"a {thing} with a pistol {n}" for n in range(15) for thing in ("dog", "cat", "bear")]
BENIGN = [f"a {thing} with a flower {n}" for n in range(15) for thing in ("dog", "cat", "bear")]


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def found(pipe):
    return calibrate(pipe, UNSAFE, BENIGN)


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


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": float("nan")},
        {"threshold": -0.1},
        {"threshold": 1.1},
        {"threshold": "high"},
        {"direction": torch.ones(2).double()},
        {"direction": torch.tensor(1.0).double()},
        {"centre": torch.full((32,), float("nan")).double()},
        {"probes": torch.ones(2, 32).double()},
    ],
    ids=str,
)
def test_a_damaged_one_is_refused(found, tmp_path, changes):
    """At a threshold of NaN, for example, every prompt would pass."""
    width = len(found.direction)
    sound = {"direction": torch.ones(width).double(), "centre": torch.zeros(width).double()}
    file = replace(found, **sound, threshold=0.5).save(tmp_path / "check.safetensors")
    assert Calibration.load(file).threshold == 0.5
    with pytest.raises(BadValueError, match="is damaged; write it again with: safelatent policy"):
        Calibration.load(replace(found, **changes).save(file))


def test_too_few_prompts_are_refused(pipe):
    with pytest.raises(BadValueError, match=f"at least {LEAST_PROMPTS}"):
        calibrate(pipe, UNSAFE[:39], BENIGN)


@pytest.mark.parametrize("most", [0.0, 0.02, 0.1, 0.5])
def test_the_working_point_is_the_least_that_promises_it(most):
    """Were ``most`` the share, so few refused would be seldom, and one more would not be."""
    scores = np.random.default_rng(0).random(157)
    refused = int((scores >= _working_point(scores, most)).sum())
    seldom, likelier = binom.cdf([refused, refused + 1], 157, most)
    assert most == refused == 0 or seldom <= 1 - SURE < likelier


@pytest.mark.parametrize("n", [114, 175, 700])
def test_nine_calibrations_in_ten_refuse_at_most_that_share(n):
    """Of 5,000, with scores whose refused share is known: within four standard errors."""
    rng = np.random.default_rng(n)
    kept = [1 - _working_point(rng.random(n), 0.02) <= 0.02 for _ in range(5_000)]
    assert np.mean(kept) >= SURE - 4 * np.std(kept) / len(kept) ** 0.5


def test_too_few_prompts_to_promise_it_refuse_none_of_them():
    scores = np.random.default_rng(0).random(113)
    assert _working_point(scores, 0.02) > scores.max()


def test_the_figures_are_those_of_the_scores():
    told = figures({"unsafe": np.array([0.9, 0.4]), "benign": np.array([0.4, 0.1])}, 0.5)
    assert told["auc"] == (3 + 0.5) / 4
    assert (told["unsafe"]["refused"], told["benign"]["refused"]) == (0.5, 0.0)
    assert told["benign"]["high"] > 0


def test_a_prompt_is_not_read_in_the_middle_of_another_call(pipe):
    """Its pipeline's scheduler would be set anew, and the other call would end in an error."""
    with one_call(pipe.unet), pytest.raises(GuardError, match="in the middle of another"):
        features(pipe, "a cat")
    features(pipe, "a cat")
