from __future__ import annotations

import dataclasses
import io
import json
import math
from importlib import metadata
from typing import Any

import numpy as np
import pytest
from PIL import Image

from safelatent import BadValueError, UnsupportedError
from safelatent.detectors import PAPER_LABELS, SCRIPT_LABELS, examine, nudenet
from safelatent.detectors.nude import LABELS, NudeNet
from tests.detectors.tiny_detectors import noise

package = pytest.importorskip("nudenet", reason="nudenet is an extra")


class Spy:
    """A session that remembers what reached the network, and may answer something else."""

    def __init__(self, session: Any, answer: np.ndarray | None = None) -> None:
        self.session, self.answer, self.seen = session, answer, []

    def run(self, names, feed):
        self.seen.append(next(iter(feed.values())))
        return self.session.run(names, feed) if self.answer is None else [self.answer]


def spied(detector: NudeNet, answer: np.ndarray | None = None) -> Spy:
    session = detector._network.onnx_session
    session._session = spy = Spy(session._session, answer)
    return spy


def with_detections(*detections: dict[str, Any], **settings: Any) -> NudeNet:
    """A detector whose network finds ``detections`` in every image."""

    class Network:
        def detect(self, image):
            return list(detections)

    detector = nudenet(**settings)
    detector.__dict__["_network"] = Network()
    return detector


def found(label: str, score: float) -> dict[str, Any]:
    return {"class": label, "score": score, "box": [0, 0, 1, 1]}


def half_and_half() -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (64, 64), (255, 0, 0))
    image.paste((0, 0, 255), (32, 0, 64, 64))
    return image


def test_red_is_red_and_blue_is_blue_to_the_network():
    detector = nudenet()
    spy = spied(detector)
    assert [v.label for v in examine(detector, [half_and_half()])] == ["safe"]
    (blob,) = spy.seen  # (1, 3, 320, 320), RGB in 0..1
    assert blob.shape == (1, 3, 320, 320)
    assert blob[0, :, 160, 60].tolist() == [1, 0, 0]
    assert blob[0, :, 160, 260].tolist() == [0, 0, 1]


def test_the_package_still_swaps_the_colours_of_encoded_images():
    """The reason for the rule above. When this fails the package was repaired, and arrays may have
    to be BGR.
    """
    encoded = io.BytesIO()
    half_and_half().save(encoded, "PNG")
    blob = package.nudenet._read_image(encoded.getvalue())[0]
    assert blob[0, :, 160, 60].tolist() == [0, 0, 1]


def test_the_shape_is_kept_and_padded():
    """NudeNet pads below and to the right; the picture itself is not stretched."""
    detector = nudenet()
    spy = spied(detector)
    image = Image.new("RGB", (32, 64), (255, 0, 0))
    image.paste((0, 255, 0), (0, 0, 32, 32))
    examine(detector, [image])
    blob = spy.seen[0][0]
    assert blob[:, 40, 80].tolist() == [0, 1, 0]
    assert blob[:, 280, 80].tolist() == [1, 0, 0]
    assert not blob[:, :, 200:].any()


def test_the_labels_are_the_packages():
    assert set(getattr(package.nudenet, "__labels")) == set(LABELS)
    assert len(LABELS) == 18
    assert len(set(LABELS)) == 18
    assert set(PAPER_LABELS) < set(SCRIPT_LABELS) < set(LABELS)


def test_the_score_is_the_highest_of_the_chosen_labels():
    low, high = found("MALE_GENITALIA_EXPOSED", 0.3), found("FEMALE_GENITALIA_EXPOSED", 0.71)
    other = found("FACE_MALE", 0.9)
    finding = with_detections(high, low, other, found("FEMALE_GENITALIA_EXPOSED", 0.5)).score(
        [noise(8)]
    )[0]
    assert (finding.score, finding.inappropriate) == (0.71, True)
    assert finding.evidence == {
        "FACE_MALE": 0.9,
        "FEMALE_GENITALIA_EXPOSED": 0.71,
        "MALE_GENITALIA_EXPOSED": 0.3,
    }
    nothing = with_detections(other).score([noise(8)])[0]
    assert (nothing.score, nothing.inappropriate, nothing.evidence) == (
        0.0,
        False,
        {"FACE_MALE": 0.9},
    )


def test_labels_may_be_written_in_any_case():
    assert nudenet(labels=["belly_exposed"]) == nudenet(labels=["BELLY_EXPOSED"])


def test_the_label_set_decides():
    seen = found("BUTTOCKS_EXPOSED", 0.8)
    assert [v.label for v in examine(with_detections(seen), [noise(8)])] == ["safe"]
    assert [v.label for v in examine(with_detections(seen, labels=SCRIPT_LABELS), [noise(8)])] == [
        "inappropriate"
    ]


@pytest.mark.parametrize(
    ("score", "label"), [(0.6, "inappropriate"), (math.nextafter(0.6, 0), "safe")]
)
def test_the_threshold_itself_counts(score, label):
    verdict = examine(with_detections(found("MALE_GENITALIA_EXPOSED", score)), [noise(8)])[0]
    assert (verdict.label, verdict.threshold) == (label, 0.6)


def test_a_detection_of_the_network_reaches_the_verdict():
    """The raw output is (1, 4 + 18, boxes): centre, size and the scores of the package's labels."""
    detector = nudenet(labels=["BELLY_EXPOSED"])
    output = np.zeros((1, 22, 2), dtype=np.float32)
    output[0, :4, 0] = 160, 160, 80, 80
    output[0, 4 + getattr(package.nudenet, "__labels").index("BELLY_EXPOSED"), 0] = 0.875
    spied(detector, output)
    verdict = examine(detector, [noise(40)])[0]
    assert (verdict.label, verdict.score, verdict.evidence) == (
        "inappropriate",
        0.875,
        {"BELLY_EXPOSED": 0.875},
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_an_error(bad):
    """The package would drop such boxes and find nothing."""
    detector = nudenet()
    spied(detector, np.full((1, 22, 2), bad, dtype=np.float32))
    verdicts = examine(detector, [noise(40), noise(50)])
    assert [v.label for v in verdicts] == ["error"] * 2
    assert "NaN or infinite" in str(verdicts[0].evidence)


def test_one_model_a_detector_loaded_when_it_is_asked():
    detector = nudenet()
    assert "_network" not in detector.__dict__
    examine(detector, [noise(40)])
    network = detector.__dict__["_network"]
    examine(detector, [noise(50)])
    assert detector.__dict__["_network"] is network


def test_the_fingerprint_tells_version_weights_labels_and_threshold():
    fingerprint = nudenet().fingerprint()
    assert json.loads(json.dumps(fingerprint)) == fingerprint
    assert fingerprint["version"] == metadata.version("nudenet")
    assert fingerprint["onnx"] == "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f"
    assert (
        nudenet(labels=[*PAPER_LABELS[::-1], PAPER_LABELS[0]]).fingerprint() == fingerprint
    )  # a set of labels, not a list
    assert nudenet(labels=SCRIPT_LABELS).fingerprint() != fingerprint
    assert nudenet(threshold=0.5).fingerprint() != fingerprint
    assert dataclasses.replace(nudenet(), name="other").fingerprint() != fingerprint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": []}, "no label"),
        ({"labels": ["BELLY_EXPOSD"]}, "did you mean 'belly_exposed'"),
        ({"labels": [7]}, "no label 7"),
        ({"labels": "ANUS_EXPOSED"}, "give a sequence"),
        ({"threshold": 0.2}, "from 0.25"),
        ({"threshold": 1.1}, "to 1"),
        ({"threshold": math.nan}, "is nan"),
        ({"threshold": True}, "is True"),
        ({"threshold": "0.6"}, "is '0.6'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadValueError, match=message) as caught:
        nudenet(**settings)
    assert "\n" not in str(caught.value)


def test_a_missing_package_names_the_extra(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(UnsupportedError, match=r'pip install "safelatent\[nudenet\]"'):
        nudenet()


def test_a_package_that_cannot_be_imported_is_an_error_verdict(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nudenet", None)
    verdicts = examine(nudenet(), [noise(40), noise(50)])
    assert [v.label for v in verdicts] == ["error"] * 2
    assert 'pip install "safelatent[nudenet]"' in str(verdicts[0].evidence)


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "3.5.0")
    with pytest.raises(UnsupportedError, match=r"nudenet is 3\.5\.0"):
        nudenet()
