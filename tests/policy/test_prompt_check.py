"""The prompt check: a calibration that is bound to its encoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from safelatent.errors import BadValueError, GuardError
from safelatent.pipelines.denoiser import one_call
from safelatent.policy.prompt_check import (
    LEAST_PROMPTS,
    Calibration,
    calibrate,
    features,
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


def test_the_same_check_is_the_same_file(found, tmp_path):
    """A policy's hash is of the file."""
    files = [found.save(tmp_path / f"{n}.safetensors") for n in range(20)]
    assert len({file.read_bytes() for file in files}) == 1


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


def test_a_prompt_of_both_kinds_is_refused(pipe):
    """After it was brought into its normal form: that is what is read."""
    with pytest.raises(BadValueError, match="1 prompt of both kinds, for example 'a cat with a fl"):
        calibrate(pipe, [*UNSAFE, " a  cat with a flower 3"], BENIGN)


@pytest.mark.parametrize("most", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(pipe, most):
    with pytest.raises(BadValueError, match="it must be above 0 and below 1"):
        calibrate(pipe, UNSAFE, BENIGN, most_refused=most)


def test_the_figures_say_how_many_prompts_the_promise_needs(found):
    assert (found.figures["most_refused"], found.figures["benign_needed"]) == (0.02, 456)


def test_a_prompt_is_not_read_in_the_middle_of_another_call(pipe):
    """Its pipeline's scheduler would be set anew, and the other call would end in an error."""
    with one_call(pipe.unet), pytest.raises(GuardError, match="in the middle of another"):
        features(pipe, "a cat")
    features(pipe, "a cat")
