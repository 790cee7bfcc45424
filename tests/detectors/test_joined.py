from __future__ import annotations

import dataclasses
import itertools
import json

import pytest

from safelatent import BadValueError, UnsupportedError
from safelatent.detectors import Finding, always, any_of, examine, never
from tests.detectors.tiny_detectors import Scripted, noise

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
