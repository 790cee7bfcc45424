from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from safelatent.detectors import Protocol
from safelatent.detectors.contract import always, never
from safelatent.policy.decision import Check
from safelatent.policy.output_check import finding, judge, replacement
from tests.policy.scripted import Raising


def picture(side: int = 64) -> Image.Image:
    rows = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    return Image.fromarray(rows)


def check(label: str) -> Check:
    return Check(name="x", label=label, score=None, threshold=None)


def test_every_protocol_must_be_passed():
    good = Protocol(name="good", detectors=(never(),))
    bad = Protocol(name="bad", detectors=(always(),))
    rows = judge([good, bad], [picture(), picture()])
    assert [[one.label for one in row] for row in rows] == [["safe", "inappropriate"]] * 2
    assert rows[0][1].name.startswith("bad: ")
    assert rows[0][1].score is not None


def test_a_protocol_that_raises_is_an_error_of_every_image():
    rows = judge([Protocol(name="good", detectors=(never(),)), Raising()], [picture()])
    assert [one.label for one in rows[0]] == ["safe", "error"]
    assert "out of memory" in rows[0][1].name


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([], None),
        (["safe"], None),
        (["safe", "inappropriate"], "output refused"),
        (["safe", "unusable"], "output refused"),
        (["safe", "error"], "checker failed"),
        (["inappropriate", "error"], "output refused"),
    ],
)
def test_the_worst_label_decides(labels, reason):
    assert finding([check(label) for label in labels]) == reason


def test_a_replacement_says_why():
    page = replacement((128, 96), "the image was flagged at every attempt")
    assert page.size == (128, 96)
    assert np.asarray(page).min() < 120  # letters
