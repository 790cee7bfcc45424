from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch

from safelatent.detectors import examine, safety_checker
from tests.detectors import tiny_detectors
from tests.detectors.tiny_detectors import pictures


def by_the_models_own_forward(images) -> tuple[list[bool], list[np.ndarray]]:
    """Its flags, and the images as it leaves them."""
    model, processor = tiny_detectors.checker()
    arrays = [np.asarray(image).copy() for image in images]
    left, flags = model(
        processor(images=images, return_tensors="pt")["pixel_values"], images=arrays
    )
    return flags, left


def test_it_answers_as_the_models_own_forward():
    images = pictures(60, seed=5)
    flags, _ = by_the_models_own_forward(images)
    assert 5 < sum(flags) < 55  # or nothing would be compared
    assert [
        f.inappropriate for f in safety_checker(tiny_detectors.checker(), batch=60).score(images)
    ] == flags


def test_special_care_decides_for_some_image():
    """A hit adds 0.01; among these pictures there is one for which that makes the difference, as
    forward has it.
    """
    images = pictures(400, seed=6)
    flags, _ = by_the_models_own_forward(images)
    findings = safety_checker(tiny_detectors.checker(), batch=400).score(images)
    care = [max(f.evidence["special care"]) > 0 for f in findings]
    decided = [
        f.inappropriate and hit and max(f.evidence["concepts"]) <= 0.01
        for f, hit in zip(findings, care, strict=True)
    ]
    assert any(decided)
    assert [f.inappropriate for f in findings] == flags


def test_images_stay_as_they_are():
    images = pictures(20, seed=5)
    before = [image.tobytes() for image in images]
    verdicts = examine(safety_checker(tiny_detectors.checker()), images)
    assert [image.tobytes() for image in images] == before
    assert "inappropriate" in {v.label for v in verdicts}
    _, left = by_the_models_own_forward(images)
    assert any(not array.any() for array in left)  # the reason why forward is not called


def test_the_evidence_holds_every_margin():
    finding = safety_checker(tiny_detectors.checker()).score(pictures(1))[0]
    assert [len(margins) for margins in finding.evidence.values()] == [17, 3]
    assert max(finding.evidence["concepts"]) == pytest.approx(finding.score, abs=1e-6)


@pytest.mark.parametrize(
    "place",
    [
        "visual_projection.weight",
        "concept_embeds",
        "special_care_embeds",
        "special_care_embeds_weights",
    ],
)
def test_nan_anywhere_is_an_error(place):
    """forward calls such an image safe, since NaN is not above zero."""
    model, processor = copy.deepcopy(tiny_detectors.checker())
    model.get_parameter(place).data.view(-1)[0] = math.nan
    verdicts = examine(safety_checker((model, processor)), pictures(3))
    assert [v.label for v in verdicts] == ["error"] * 3


def test_a_folder_gives_the_same(tmp_path):
    model, processor = tiny_detectors.checker()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, saved = safety_checker(tiny_detectors.checker()), safety_checker(tmp_path)
    assert saved.score(pictures(4)) == loaded.score(pictures(4))
    assert saved.fingerprint() == loaded.fingerprint()


def test_a_threshold_of_a_concept_is_in_the_fingerprint():
    model, processor = copy.deepcopy(tiny_detectors.checker())
    with torch.no_grad():
        model.concept_embeds_weights[3] += 0.1
    before = safety_checker(tiny_detectors.checker())
    assert safety_checker((model, processor)).fingerprint() != before.fingerprint()
    assert dataclasses.replace(before, threshold=0.1).fingerprint() != before.fingerprint()
