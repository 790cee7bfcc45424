from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from safelatent import BadValueError
from safelatent.detectors import Detector, Verdict
from safelatent.detectors.verdict import LABELS, joint
from tests.detectors.tiny_detectors import Scripted


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
