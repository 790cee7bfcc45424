from __future__ import annotations

from threading import Event

import numpy as np
import pytest
from PIL import Image

from safelatent.detectors import Protocol
from safelatent.detectors.contract import Verdict, always, never
from safelatent.detectors.protocol import Judgement
from safelatent.policy.decision import Check
from safelatent.policy.output_check import changed, finding, frames_of, in_time, judge, replacement
from tests.policy.scripted import Raising


def picture(side: int = 64) -> Image.Image:
    rows = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    return Image.fromarray(rows)


TWO = [picture(), picture()]


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
    assert (rows[0][1].name, rows[0][1].message) == ("raising", "RuntimeError: out of memory")


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


class Answering:
    """A protocol that answers what it is given."""

    name = "answering"

    def __init__(self, *answers: dict[str, Verdict]) -> None:
        self.answers = answers

    def judge(self, images):
        return [
            Judgement(protocol=self.name, protocol_hash="0", verdicts=one) for one in self.answers
        ]


SAFE = {"one": Verdict(label="safe", score=0.1, threshold=0.5, evidence="")}


@pytest.mark.parametrize("answers", [(), (SAFE,), (SAFE, SAFE, SAFE), ({}, {}), (SAFE, {})])
def test_a_protocol_that_does_not_speak_of_every_image_is_an_error(answers):
    rows = judge([Answering(*answers)], TWO)
    assert [finding(row) for row in rows] == ["checker failed"] * 2
    assert "answers for 2 images" in rows[0][0].message


def test_a_protocol_that_hangs_is_an_error_and_one_that_is_in_time_is_not():
    class Hanging:
        name = "hanging"
        free = Event()

        def judge(self, images):
            self.free.wait()

    hanging = Hanging()
    rows = judge([hanging], TWO, 0.01)
    hanging.free.set()
    assert [finding(row) for row in rows] == ["checker failed"] * 2
    assert rows[0][0].message == "TimeoutError: no answer within 0.01 seconds"
    assert finding(judge([Answering(SAFE, SAFE)], TWO, 60.0)[1]) is None


def test_what_fails_in_time_fails_as_without_a_limit():
    def fails():
        raise KeyError("x")

    for seconds in (None, 60.0, 1e308):
        with pytest.raises(KeyError):
            in_time(fails, seconds)
        assert in_time(lambda: 3, seconds) == 3


def verdict(label: str, score: float | None = None) -> dict[str, Verdict]:
    return {"one": Verdict(label=label, score=score, threshold=0.5, evidence="")}


def test_every_frame_of_a_video_is_judged():
    video, other = [picture() for _ in range(4)], [picture() for _ in range(2)]
    answers = [
        verdict("safe", 0.1),
        verdict("inappropriate", 0.6),
        verdict("inappropriate", 0.9),
        verdict("error"),
        *[verdict("safe", 0.2)] * 2,
        verdict("safe", 0.3),
    ]
    rows = judge([Answering(*answers)], [video, other, picture()])
    assert [finding(row) for row in rows] == ["output refused", None, None]
    assert [(row[0].score, row[0].message) for row in rows] == [
        (0.9, "frame 2"),
        (0.2, "frame 0"),
        (0.3, ""),
    ]
    assert [len(row) for row in rows] == [1, 1, 1]


@pytest.mark.parametrize("label", ["unusable", "error"])
def test_a_single_frame_without_an_answer_closes_the_gate(label):
    answers = [verdict("safe", 0.1), verdict(label), verdict("safe", 0.1)]
    (row,) = judge([Answering(*answers)], [[picture() for _ in range(3)]])
    assert finding(row) is not None


def test_a_video_without_frames_is_not_safe():
    assert finding(judge([Answering()], [[]])[0]) == "checker failed"


@pytest.mark.parametrize("action", ["blurred", "replaced"])
def test_every_frame_of_a_flagged_video_is_changed(action):
    video = [picture(32) for _ in range(3)]
    made = frames_of(changed(video, action, "flagged"))
    assert [frame.size for frame in made] == [(32, 32)] * 3
    assert all(np.abs(np.subtract(a, b)).max() > 20 for a, b in zip(made, video, strict=True))
    (still,) = frames_of(changed(video[0], action, "flagged"))
    assert still.size == (32, 32)
