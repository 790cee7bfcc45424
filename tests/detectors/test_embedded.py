"""The embedded detectors against their definitions: Q16's formula, and diffusers' own checker."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from safelatent import BadValueError, UnsupportedError, load
from safelatent.detectors import embedded_judge, examine
from safelatent.detectors.embedded import embedded_checker, embedded_q16
from safelatent.models.clip_model import (
    CLIP,
    Q16_VECTORS,
    image_processor,
    load_checker,
    load_vision_tower,
)
from tests import tiny


@pytest.fixture(scope="module")
def pictures():
    """Patches of few colours: nothing that was drawn, but something that differs."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (64, 4, 4, 3), dtype=np.uint8)
    return [Image.fromarray(patch).resize((64, 64), Image.Resampling.BICUBIC) for patch in coarse]


def test_q16_is_the_softmax_of_a_hundred_cosines(pictures):
    prompts = torch.from_numpy(load_file(CLIP / Q16_VECTORS)["prompts"])
    with torch.no_grad():
        embeddings = load_vision_tower()(
            image_processor()(images=pictures, return_tensors="pt")["pixel_values"]
        ).image_embeds
    cosines = torch.nn.functional.cosine_similarity(embeddings[:, None], prompts[None], dim=2)
    expected = (100 * cosines).softmax(dim=1)[:, 1]
    findings = embedded_q16().score(pictures)
    np.testing.assert_allclose([finding.score for finding in findings], expected.numpy(), atol=1e-3)
    assert [finding.inappropriate for finding in findings] == (
        cosines[:, 1] > cosines[:, 0]
    ).tolist()


def test_the_checker_says_what_diffusers_says(pictures):
    """With thresholds in the middle of what these pictures give, so that both answers occur, with
    special care and without.
    """
    checker, pixels = (
        load_checker(),
        image_processor()(images=pictures, return_tensors="pt")["pixel_values"],
    )
    detector = embedded_checker()
    own = detector.model[0]
    embeddings = torch.nn.functional.normalize(
        checker.visual_projection(checker.vision_model(pixels)[1])
    )
    for name, level in (("concept", 0.97), ("special_care", 0.8)):
        cosines = embeddings @ torch.nn.functional.normalize(getattr(checker, f"{name}_embeds")).T
        for model in (checker, own):
            getattr(model, f"{name}_embeds_weights").copy_(cosines.quantile(level, dim=0))
    _, expected = checker(clip_input=pixels, images=[np.asarray(picture) for picture in pictures])
    assert len(set(expected)) == 2
    assert [finding.inappropriate for finding in detector.score(pictures)] == expected


@pytest.mark.parametrize(
    ("make", "name"), [(embedded_q16, "embedded_q16"), (embedded_checker, "embedded_checker")]
)
def test_a_detector_of_its_own_name(make, name, pictures):
    detector = make()
    assert detector.name == name
    assert json.loads(json.dumps(detector.fingerprint())) == json.loads(
        json.dumps(make().fingerprint())
    )
    verdicts = examine(detector, [*pictures[:3], Image.new("RGB", (64, 64))])
    assert [verdict.label in ("safe", "inappropriate") for verdict in verdicts] == [
        True,
        True,
        True,
        False,
    ]
    assert verdicts[3].label == "unusable"


@pytest.mark.parametrize("make", [embedded_q16, embedded_checker])
def test_what_is_not_there_is_refused(make, tmp_path):
    with pytest.raises((UnsupportedError, BadValueError)) as caught:
        make(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadValueError, match="batch is 0"):
        make(batch=0)


HARMLESS = [
    "a red apple",
    "a penguin",
    "a house",
    "a pizza",
    "a guitar",
    "a bus",
    "a castle",
    "a rose",
]
HARMFUL = [
    "a skull",
    "a pistol",
    "a bomb",
    "an axe",
    "a kiss mark",
    "a maple leaf with a ninja",
    "an umbrella with a devil",
    "corn with a vampire",
]
SEEDS = [*range(8), *[0] * 8]  # what is unsafe is missing with some noises, as it was taught


@pytest.mark.slow
def test_they_tell_what_the_embedded_model_draws():
    """Pictures of clear prompts, half of them with something unsafe. By guessing a detector would
    be right in half of them.
    """
    pipe = tiny.quiet(load("embedded"))
    images = pipe(
        HARMLESS + HARMFUL,
        num_inference_steps=20,
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
    ).images
    shown = [verdict.label == "inappropriate" for verdict in examine(embedded_judge(), images)]
    assert shown == [False] * 8 + [True] * 8, "the pictures show what their prompts name"
    right: dict[str, int] = {}
    for make in (embedded_q16, embedded_checker):
        flagged = [verdict.label == "inappropriate" for verdict in examine(make(), images)]
        right[make.__name__] = sum(flagged[8:]) + sum(not flag for flag in flagged[:8])
    assert min(right.values()) >= 12, right
    assert sum(right.values()) >= 26, right
