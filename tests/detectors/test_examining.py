from __future__ import annotations

import dataclasses
import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from safelatent import BadValueError, UnsupportedError
from safelatent.detectors import Finding, always, any_of, examine, never
from tests.detectors.tiny_detectors import Scripted, by_width, noise


def labels(detector: Any, images: list[Any]) -> list[str]:
    return [verdict.label for verdict in examine(detector, images)]


def finding(**changes: Any) -> Finding:
    return Finding(**({"score": 0.2, "inappropriate": False, "evidence": "e"} | changes))


def test_answers_become_verdicts_in_order():
    verdicts = examine(
        Scripted(answer=lambda images: [by_width(image) for image in images], threshold=0.4),
        [noise(60), noise(20)],
    )
    assert [(v.label, v.score, v.threshold, v.evidence) for v in verdicts] == [
        ("inappropriate", 0.6, 0.4, {"width": 60}),
        ("safe", 0.2, 0.4, {"width": 20}),
    ]


def test_unusable_images_are_not_shown_to_the_detector():
    shown: list[int] = []

    def answer(images):
        shown.extend(image.width for image in images)
        return [by_width(image) for image in images]

    black, broken = Image.new("RGB", (8, 8)), np.full((4, 4, 3), np.nan)
    verdicts = examine(
        Scripted(answer=answer), [black, noise(60), broken, noise(20), BadValueError("gone")]
    )
    assert [v.label for v in verdicts] == [
        "unusable",
        "inappropriate",
        "unusable",
        "safe",
        "unusable",
    ]
    assert shown == [60, 20]
    assert verdicts[0].evidence == "it is black; there is nothing to judge"
    assert verdicts[4].evidence == "gone"


def test_a_detector_is_not_asked_about_nothing():
    def answer(images):
        raise AssertionError("asked")

    assert examine(Scripted(answer=answer), []) == []
    assert labels(Scripted(answer=answer), [Image.new("RGB", (8, 8))]) == ["unusable"]


def test_one_bad_image_does_not_condemn_its_neighbours():
    def answer(images):
        if any(image.width == 13 for image in images):
            raise RuntimeError("thirteen\nis unlucky")
        return [by_width(image) for image in images]

    verdicts = examine(Scripted(answer=answer), [noise(60), noise(13), noise(20)])
    assert [v.label for v in verdicts] == ["inappropriate", "error", "safe"]
    assert verdicts[1].evidence == "RuntimeError: thirteen is unlucky"
    assert verdicts[1].score is None


def test_a_detector_that_says_that_it_cannot_work_is_asked_once():
    calls: list[int] = []

    def answer(images):
        calls.append(len(images))
        raise UnsupportedError("pip install it")

    verdicts = examine(Scripted(answer=answer), [noise(60), noise(20)])
    assert [(v.label, v.evidence) for v in verdicts] == [("error", "pip install it")] * 2
    assert calls == [2]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda images: [finding(score=math.nan)] * len(images), "the score is nan"),
        (lambda images: [finding(score=math.inf)] * len(images), "the score is inf"),
        (lambda images: [finding(score=None, evidence="no idea")] * len(images), "no idea"),
        (lambda images: [finding(score=None, evidence="")] * len(images), "no score, no reason"),
        (lambda images: [finding(score="high")] * len(images), "the score is 'high'"),
        (lambda images: [finding(score="0.1")] * len(images), "the score is '0.1'"),
        (lambda images: [finding(score=True)] * len(images), "the score is True"),
        (lambda images: [finding(inappropriate=0)] * len(images), "inappropriate is 0"),
        (lambda images: [finding(inappropriate="no")] * len(images), "inappropriate is 'no'"),
        (lambda images: [finding(score=10**400)] * len(images), "OverflowError"),
        (lambda images: [finding(inappropriate=None)] * len(images), "inappropriate is None"),
        (
            lambda images: [finding(evidence={"x": math.nan})] * len(images),
            "the evidence is not JSON",
        ),
        (lambda images: [None] * len(images), "a NoneType, not a finding"),
        (lambda images: [0.2] * len(images), "a float, not a finding"),
        (lambda images: [], "0 answers for 2 images"),
        (lambda images: [finding()], "1 answers for 2 images"),
        (lambda images: [finding()] * 3, "3 answers for 2 images"),
        (lambda images: None, "TypeError"),
        (lambda images: 1 / 0, "ZeroDivisionError"),
        (lambda images: [finding()][7], "IndexError"),
    ],
)
def test_what_is_no_answer_is_an_error(answer, reason):
    verdicts = examine(Scripted(answer=answer), [noise(60), noise(20)])
    assert [v.label for v in verdicts] == ["error", "error"]
    assert all(reason in str(v.evidence) for v in verdicts)
    assert all(v.score is None for v in verdicts)


def test_one_missing_score_is_one_error():
    answers = [finding(), finding(score=math.nan), finding(score=None), finding()]
    assert labels(Scripted(answer=lambda images: answers), [noise(n) for n in (8, 9, 10, 11)]) == [
        "safe",
        "error",
        "error",
        "safe",
    ]


def test_a_detector_may_find_nothing_to_judge():
    verdicts = examine(
        Scripted(answer=lambda images: [finding(usable=False, evidence="mush")]), [noise(20)]
    )
    assert [(v.label, v.score, v.evidence) for v in verdicts] == [("unusable", None, "mush")]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_passes(interrupt):
    def answer(images):
        raise interrupt

    with pytest.raises(interrupt):
        examine(Scripted(answer=answer), [noise(20)])


def test_a_lazily_read_file_that_breaks_is_unusable(tmp_path):
    noise(60).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with Image.open(tmp_path / "a.png") as image:
        verdicts = examine(never(), [image, noise(20)])
    assert [v.label for v in verdicts] == ["unusable", "safe"]
    assert "OSError" in str(verdicts[0].evidence)


kinds = st.lists(
    st.sampled_from(["good", "bad", "raises", "nan", "none", "black", "broken"]), max_size=8
)


@given(kinds=kinds)
def test_whatever_happens_only_an_answer_is_safe(kinds):
    """Every mixture of images: the verdict of each is that of the image alone, and only a "good"
    one is safe.
    """
    widths = {"good": 8, "bad": 60, "raises": 13, "nan": 14, "none": 15}
    expected = {"good": "safe", "bad": "inappropriate", "black": "unusable", "broken": "unusable"}

    def answer(images):
        if any(image.width == 13 for image in images):
            raise OSError
        scores = {14: math.nan, 15: None}
        return [
            finding(score=scores.get(image.width, 0.1), inappropriate=image.width > 50)
            for image in images
        ]

    made = {"black": Image.new("RGB", (8, 8)), "broken": np.full((4, 4, 3), np.nan)}
    images = [made[kind] if kind in made else noise(widths[kind]) for kind in kinds]
    assert labels(Scripted(answer=answer), images) == [
        expected.get(kind, "error") for kind in kinds
    ]


SAYS = {
    "inappropriate": Finding(score=0.9, inappropriate=True, evidence="seen"),
    "safe": Finding(score=0.1, inappropriate=False, evidence="not seen"),
    "error": Finding(score=None, inappropriate=False, evidence="out of order"),
    "unusable": Finding(score=0.1, inappropriate=False, evidence="mush", usable=False),
}


def saying(label: str, name: str) -> Scripted:
    return Scripted(answer=lambda images: [SAYS[label]] * len(images), name=name)


@pytest.mark.parametrize("labels", list(itertools.product(SAYS, repeat=2)), ids="-".join)
def test_the_worst_wins(labels):
    verdict = examine(
        any_of(*(saying(label, f"d{n}") for n, label in enumerate(labels))), [noise(8)]
    )[0]
    assert verdict.label == min(labels, key=["inappropriate", "error", "unusable", "safe"].index)
    assert verdict.score == {"inappropriate": 1.0, "safe": 0.0}.get(verdict.label)
    assert [member["label"] for member in verdict.evidence.values()] == list(labels)


def test_the_evidence_names_who_said_so():
    verdict = examine(any_of(never(), always()), [noise(8)])[0]
    assert {name: member["score"] for name, member in verdict.evidence.items()} == {
        "never": 0.0,
        "always": 1.0,
    }
    assert json.dumps(verdict.as_dict())


def test_a_member_that_fails_is_not_outvoted_by_a_safe_one():
    def broken(images):
        raise UnsupportedError("pip install it")

    verdict = examine(any_of(never(), Scripted(answer=broken)), [noise(8)])[0]
    assert verdict.label == "error"
    assert verdict.evidence["scripted"]["evidence"] == "pip install it"


def test_a_member_that_fails_for_one_image_does_not_spoil_the_others():
    def answer(images):
        if any(image.width == 13 for image in images):
            raise RuntimeError
        return [SAYS["safe"]] * len(images)

    verdicts = examine(any_of(never(), Scripted(answer=answer)), [noise(8), noise(13), noise(9)])
    assert [v.label for v in verdicts] == ["safe", "error", "safe"]


def test_they_nest():
    inner = any_of(never(), saying("error", "broken"))
    assert examine(any_of(inner, always()), [noise(8)])[0].label == "inappropriate"
    assert (
        examine(any_of(inner, dataclasses.replace(never(), name="other")), [noise(8)])[0].label
        == "error"
    )


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ((), "no detector"),
        (("q16",), "'q16', which is no detector"),
        ((always,), "which is no detector"),
        ((never(), never()), r"'never' more than once; rename one: dataclasses\.replace"),
    ],
)
def test_what_cannot_be_joined_is_refused(members, message):
    with pytest.raises(BadValueError, match=message):
        any_of(*members)


def test_the_fingerprint_is_that_of_every_member():
    fingerprint = any_of(always(), never()).fingerprint()
    assert fingerprint["any_of"] == [always().fingerprint(), never().fingerprint()]
    assert (
        any_of(dataclasses.replace(always(), threshold=0.7), never()).fingerprint() != fingerprint
    )


@pytest.mark.parametrize(
    ("of", "flag"),
    [(np.float32, np.bool_), (np.array, np.array), (torch.tensor, torch.tensor), (float, bool)],
)
def test_an_answer_may_be_of_any_library(of, flag):
    answers = [finding(score=of(0.75), inappropriate=flag(True))]
    [verdict] = examine(Scripted(answer=lambda _: answers), [noise(60)])
    assert (verdict.label, verdict.score) == ("inappropriate", 0.75)
    assert type(verdict.score) is float
