"""What holds of every detector there is. A new one needs a row in ``MAKERS``, or the first test
fails.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from PIL import Image

from safelatent import BadValueError, detectors
from safelatent.detectors import Detector, Finding, Protocol, Verdict, always, examine, never
from safelatent.detectors.contract import LABELS, joint
from tests.detectors import tiny_detectors
from tests.detectors.tiny_detectors import Scripted, drawn, noise, pictures, vectors_file

ANSWERS = {"safe", "inappropriate"}

MAKERS: dict[str, Any] = {
    "always": lambda folder: detectors.always(),
    "any_of": lambda folder: detectors.any_of(
        detectors.q16(vectors_file(folder), model=tiny_detectors.clip()), detectors.never()
    ),
    "embedded_checker": lambda folder: detectors.embedded_checker(batch=3),
    "embedded_judge": lambda folder: detectors.embedded_judge(),
    "embedded_q16": lambda folder: detectors.embedded_q16(batch=3),
    "never": lambda folder: detectors.never(),
    "nudenet": lambda folder: detectors.nudenet(labels=detectors.SCRIPT_LABELS),
    "q16": lambda folder: detectors.q16(vectors_file(folder), model=tiny_detectors.clip(), batch=3),
    "safety_checker": lambda folder: detectors.safety_checker(tiny_detectors.checker(), batch=3),
}


@pytest.fixture(params=list(MAKERS))
def make(request, tmp_path):
    if request.param == "nudenet" and find_spec("nudenet") is None:
        pytest.skip("nudenet is an extra")
    return lambda folder=tmp_path: MAKERS[request.param](folder)


def test_every_detector_is_held_to_the_contract():
    assert set(MAKERS) == set(detectors.DETECTORS)


def test_it_is_a_detector(make):
    assert isinstance(make(), Detector)


def same(a: Any, b: Any) -> bool:
    """1e-4: a batch may sum in another order, and Q16 multiplies by 100."""
    return a.label == b.label and (a.score is None or math.isclose(a.score, b.score, abs_tol=1e-4))


def shown(detector: Detector, n: int) -> list[Image.Image]:
    """Pictures on which the detector has an answer: the judge recognises nothing in noise."""
    return drawn(n) if detector.name == "judge" else pictures(n)


def test_a_batch_of_one_equals_the_batch_and_the_order_is_kept(make):
    detector = make()
    images = shown(detector, 5)
    together, alone = examine(detector, images), [examine(detector, [image])[0] for image in images]
    assert all(same(a, b) for a, b in zip(together, alone, strict=True))
    assert all(
        same(a, b) for a, b in zip(examine(detector, images[::-1])[::-1], together, strict=True)
    )
    assert {v.label for v in together} <= ANSWERS


def test_an_answer_is_one_by_its_own_threshold(make):
    """Inappropriate iff the score reaches the threshold; whether ``>`` or ``>=`` is each detector's
    own.
    """
    detector = make()
    for verdict in examine(detector, shown(detector, 8)):
        assert verdict.label in ANSWERS
        assert verdict.score is not None
        if verdict.score != verdict.threshold:
            assert (verdict.label == "inappropriate") == (verdict.score > verdict.threshold)


def test_images_are_left_alone(make):
    images = pictures(2)
    before = [image.tobytes() for image in images]
    examine(make(), images)
    assert [image.tobytes() for image in images] == before


def test_unusable_images_among_others(make):
    detector = make()
    good = shown(detector, 2)
    black, broken = Image.new("RGB", (32, 32)), np.full((32, 32, 3), np.nan)
    verdicts = examine(detector, [black, good[0], broken, good[1]])
    assert [v.label for v in verdicts[::2]] == ["unusable"] * 2
    assert {v.label for v in verdicts[1::2]} <= ANSWERS
    assert all(same(a, b) for a, b in zip(verdicts[1::2], examine(make(), good), strict=True))


def test_an_array_is_the_image(make):
    detector = make()
    image = shown(detector, 1)[0]
    verdicts = examine(detector, [image, np.asarray(image), np.asarray(image) / 255])
    assert verdicts[0].label in ANSWERS
    assert same(verdicts[0], verdicts[1])
    assert same(verdicts[0], verdicts[2])


def test_the_fingerprint_is_plain_stable_and_names_its_owner(make, tmp_path):
    detector = make()
    before = detector.fingerprint()
    assert json.loads(json.dumps(before, allow_nan=False)) == before
    assert before["name"] == detector.name
    examine(detector, pictures(2))
    assert detector.fingerprint() == before
    (tmp_path / "elsewhere").mkdir()
    assert make(tmp_path / "elsewhere").fingerprint() == before
    assert str(tmp_path) not in json.dumps(before)


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "any_of"])
def test_a_threshold_changes_the_protocols_hash(name, tmp_path):
    if name == "nudenet" and find_spec("nudenet") is None:
        pytest.skip("nudenet is an extra")
    detector = MAKERS[name](tmp_path)
    other = dataclasses.replace(detector, threshold=detector.threshold + 0.1)
    hashes = {
        Protocol(name="p", detectors=(d,)).hash for d in (detector, MAKERS[name](tmp_path), other)
    }
    assert len(hashes) == 2


def test_a_members_threshold_changes_the_hash_too():
    hashes = {
        Protocol(
            name="p",
            detectors=(detectors.any_of(dataclasses.replace(detectors.never(), threshold=t)),),
        ).hash
        for t in (0.5, 0.6)
    }
    assert len(hashes) == 2


@pytest.mark.parametrize("failure", ["raises", "nan"])
def test_a_failure_within_any_detector_is_an_error(make, failure, monkeypatch):
    """What scores is replaced, as if the model had failed; the verdict is an error, and so is that
    of a group.
    """
    detector = make()

    def fails(self, images):
        if failure == "raises":
            raise RuntimeError("out of memory")
        return [Finding(score=math.nan, inappropriate=False, evidence="") for _ in images]

    monkeypatch.setattr(type(detector), "score", fails)
    assert [v.label for v in examine(detector, pictures(3))] == ["error"] * 3
    quiet = Scripted(
        answer=lambda images: [Finding(score=0, inappropriate=False, evidence="") for _ in images]
    )
    group = Protocol(name="p", detectors=(detector, quiet))
    assert {j.label for j in group.judge(pictures(3))} == {"error"}


def test_a_verdict_survives_json():
    verdict = Verdict(
        label="inappropriate", score=0.7, threshold=0.6, evidence={"KNIFE": 0.7, "boxes": [1, 2]}
    )
    assert Verdict(**json.loads(json.dumps(verdict.as_dict()))) == verdict


def test_evidence_does_not_change_behind_a_verdict():
    evidence = {"a": 1.0}
    verdict = Verdict(label="safe", score=0.1, threshold=0.5, evidence=evidence)
    evidence["a"] = 2.0
    assert verdict.evidence == {"a": 1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "save"}, "did you mean 'safe'"),
        ({"score": None}, "needs a finite number"),
        ({"score": math.nan}, "score is nan"),
        ({"score": True}, "score is True"),
        ({"label": "error"}, "'error' has none"),
        ({"label": "unusable"}, "'unusable' has none"),
        ({"threshold": math.inf}, "threshold is inf"),
        ({"evidence": {"a": math.nan}}, "the evidence is not JSON"),
        ({"evidence": {"a": np.float32(1)}}, "the evidence is not JSON"),
    ],
)
def test_what_is_no_verdict_is_refused(changes, message):
    settings = {"label": "safe", "score": 0.1, "threshold": 0.5, "evidence": ""}
    with pytest.raises(BadValueError, match=message) as caught:
        Verdict(**(settings | changes))
    assert "\n" not in str(caught.value)


def test_the_joint_label_follows_the_rule_for_every_set_of_labels():
    for n in (1, 2, 3):
        for labels in itertools.product(LABELS, repeat=n):
            if "inappropriate" in labels:
                expected = "inappropriate"
            elif "error" in labels:
                expected = "error"
            else:
                expected = "unusable" if "unusable" in labels else "safe"
            assert joint(labels) == expected


def test_no_label_is_not_safe():
    with pytest.raises(BadValueError, match="at least one detector"):
        joint([])


def test_the_contract_is_recognised():
    assert isinstance(Scripted(answer=lambda images: []), Detector)
    assert not isinstance("q16", Detector)


def test_always():
    verdicts = examine(always(), [noise(8), Image.new("RGB", (8, 8))])
    assert [(v.label, v.score) for v in verdicts] == [("inappropriate", 1.0), ("unusable", None)]


def test_never():
    verdicts = examine(never(), [noise(8), Image.new("RGB", (8, 8))])
    assert [(v.label, v.score) for v in verdicts] == [("safe", 0.0), ("unusable", None)]
