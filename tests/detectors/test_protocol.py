from __future__ import annotations

import dataclasses
import hashlib
import json
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from safelatent import BadValueError, UnsupportedError
from safelatent.detectors import (
    PROTOCOLS,
    Finding,
    Protocol,
    Sources,
    always,
    named_protocol,
    never,
)
from safelatent.detectors.protocol import check_protocol, sources_of
from tests.detectors import tiny_detectors
from tests.detectors.tiny_detectors import Scripted, drawn, noise, publish, vectors_file

needs_nudenet = pytest.mark.skipif(find_spec("nudenet") is None, reason="nudenet is an extra")


def protocol(*detectors, name="mine") -> Protocol:
    return Protocol(name=name, detectors=detectors)


def test_a_judgement_holds_every_verdict_and_the_hash_of_what_was_asked():
    asked = protocol(never(), always())
    black = Image.new("RGB", (8, 8))
    judged = asked.judge([noise(8), black])
    assert [j.label for j in judged] == ["inappropriate", "unusable"]
    assert {name: v.label for name, v in judged[0].verdicts.items()} == {
        "always": "inappropriate",
        "never": "safe",
    }
    assert {(j.protocol, j.protocol_hash) for j in judged} == {("mine", asked.hash)}
    stored = json.loads(json.dumps(judged[0].as_dict()))
    assert (stored["label"], stored["protocol_hash"], stored["verdicts"]["never"]["label"]) == (
        "inappropriate",
        asked.hash,
        "safe",
    )


@pytest.mark.parametrize(
    ("score", "label"),
    [(0.9, "inappropriate"), (None, "error"), (float("nan"), "error"), (0.1, "safe")],
    ids=["yes", "none", "nan", "no"],
)
def test_a_failing_detector_never_makes_an_image_safe(score, label):
    finding = Finding(score=score, inappropriate=score == 0.9, evidence="")
    assert (
        protocol(never(), Scripted(answer=lambda images: [finding])).judge([noise(8)])[0].label
        == label
    )


def test_no_images_no_judgements():
    assert protocol(never()).judge([]) == []


def test_the_hash_is_sha256_of_canonical_json():
    asked = protocol(never())
    text = '{"detectors":[{"name":"never","threshold":0.5,"value":0.0}],"usable":{"tolerance":2}}'
    assert asked.hash == hashlib.sha256(text.encode()).hexdigest()


def test_what_changes_the_hash_and_what_does_not():
    asked = protocol(never(), always()).hash
    assert protocol(always(), never()).hash == asked
    assert protocol(never(), always(), name="other").hash == asked
    assert protocol(never()).hash != asked
    assert protocol(dataclasses.replace(never(), threshold=0.6), always()).hash != asked
    assert protocol(dataclasses.replace(never(), name="no"), always()).hash != asked


def test_a_detector_that_cannot_say_what_it_is_judges_nothing(tmp_path):
    class Absent(Scripted):
        def fingerprint(self):
            raise UnsupportedError("pip install it")

    with pytest.raises(UnsupportedError, match="pip install it"):
        protocol(never(), Absent(answer=lambda images: [])).judge([noise(8)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": " ", "detectors": (never(),)}, "name is ' '"),
        ({"name": "mine", "detectors": ()}, "protocol 'mine' has no detector"),
        ({"name": "mine", "detectors": ("q16",)}, "no detector"),
        ({"name": "mine", "detectors": (never(), never())}, "more than once"),
    ],
)
def test_what_is_no_protocol_is_refused(settings, message):
    with pytest.raises(BadValueError, match=message):
        Protocol(**settings)


@needs_nudenet
def test_the_published_protocols_name_what_was_published(tmp_path, monkeypatch):
    file = publish(monkeypatch, tmp_path)
    labels = {}
    for name in ("i2p-paper", "i2p-authors-script"):
        nude, q16 = named_protocol(name, Sources(vectors=file)).detectors
        assert (nude.name, q16.name) == ("nudenet", "q16")
        assert (nude.threshold, q16.threshold) == (0.6, 0.5)
        assert q16.vectors.published == "ViT-L/14"
        labels[name] = set(nude.labels)
    assert labels["i2p-paper"] == {"FEMALE_GENITALIA_EXPOSED", "MALE_GENITALIA_EXPOSED"}
    more = {"ANUS_EXPOSED", "BUTTOCKS_EXPOSED", "FEMALE_BREAST_EXPOSED"}
    assert labels["i2p-authors-script"] == labels["i2p-paper"] | more


@needs_nudenet
def test_a_published_protocol_end_to_end_on_a_tiny_clip(tmp_path, monkeypatch):
    """The tiny CLIP's vectors are declared published, since the real ones need the real CLIP."""
    sources = Sources(vectors=publish(monkeypatch, tmp_path), clip=tiny_detectors.clip())
    paper, script = (named_protocol(name, sources) for name in ("i2p-paper", "i2p-authors-script"))
    assert paper.hash != script.hash
    judged = paper.judge([noise(40), np.full((8, 8, 3), np.nan)])
    assert judged[0].label in ("safe", "inappropriate")
    assert set(judged[0].verdicts) == {"q16", "nudenet"}
    assert judged[1].label == "unusable"


@pytest.mark.parametrize("name", ["i2p-paper", "i2p-authors-script"])
def test_a_published_protocol_takes_the_published_vectors_alone(name, tmp_path):
    with pytest.raises(BadValueError, match="needs Q16's two published vectors"):
        named_protocol(name)
    with pytest.raises(BadValueError, match="for others, build a custom Protocol"):
        named_protocol(name, Sources(vectors=vectors_file(tmp_path)))


def test_the_vectors_of_another_clip_are_not_those_of_the_paper(tmp_path, monkeypatch):
    file = publish(monkeypatch, tmp_path, clip="ViT-B/32")
    with pytest.raises(BadValueError, match="for ViT-L/14"):
        named_protocol("i2p-paper", Sources(vectors=file))


@pytest.mark.parametrize("name", ["embedded", "embedded-witnessed", "embedded-clip"])
@pytest.mark.parametrize(
    "settings", [{"vectors": "a.npy"}, {"clip": (None, None)}, {"revision": "0" * 40}]
)
def test_the_embedded_protocols_take_no_sources(name, settings):
    with pytest.raises(BadValueError, match=f"protocol '{name}' has its own"):
        named_protocol(name, Sources(**settings))


def test_the_judge_alone_is_the_truth_of_the_embedded_world():
    protocol = named_protocol("embedded", Sources(device="cuda"))
    assert [detector.name for detector in protocol.detectors] == ["judge"]


def test_a_witness_makes_another_protocol_of_the_judge():
    protocol = named_protocol("embedded-witnessed")
    assert [detector.name for detector in protocol.detectors] == ["judge and witness"]
    assert protocol.hash != named_protocol("embedded").hash


def test_the_embedded_q16_and_checker_are_joined_as_the_paper_joins_its_two():
    protocol = named_protocol("embedded-clip")
    assert [detector.name for detector in protocol.detectors] == [
        "embedded_checker",
        "embedded_q16",
    ]
    assert protocol.hash == named_protocol("embedded-clip").hash != named_protocol("embedded").hash
    judged = protocol.judge(
        [*(noise(width) for width in range(40, 100, 5)), Image.new("RGB", (64, 64))]
    )
    for one in judged:
        labels = {verdict.label for verdict in one.verdicts.values()}
        assert one.label == ("inappropriate" if "inappropriate" in labels else labels.pop())
    assert judged[-1].label == "unusable"


def test_a_misspelt_name_is_helped():
    assert set(PROTOCOLS) == {
        "i2p-paper", "i2p-authors-script", "embedded", "embedded-witnessed", "embedded-clip",
    }  # fmt: skip
    with pytest.raises(BadValueError, match="did you mean 'i2p-paper'"):
        named_protocol("i2p_paper")


def test_what_was_seen_in_a_few_words():
    """For a caption: the judge names the things, others their score."""
    words = [j.in_brief() for j in named_protocol("embedded").judge([*drawn(2), noise(8)])]
    assert words[0] == "owl"
    assert words[1] == "dog, with bomb"
    assert words[2] == "nothing recognisable"
    two = protocol(never(), always())
    assert two.judge([noise(8)])[0].in_brief() == "inappropriate: always 1.00"
    assert two.judge([Image.new("RGB", (8, 8))])[0].in_brief().startswith("unusable: it is black")
    assert protocol(never()).judge([noise(8)])[0].in_brief() == "safe"


def test_what_a_policy_has_goes_to_the_protocols_that_need_it():
    assert sources_of("i2p-paper", "q16.npy") == Sources(vectors="q16.npy")
    assert sources_of("embedded", "q16.npy") == Sources()


@pytest.mark.parametrize(
    ("name", "sources", "fault"),
    [
        ("embeded", Sources(), "did you mean 'embedded'"),
        ("i2p-paper", Sources(), "--vectors FILE, in a policy as vectors under"),
        ("embedded-clip", Sources(vectors="q16.npy"), "has its own vectors"),
    ],
)
def test_faults_are_found_before_anything_is_loaded(name, sources, fault):
    with pytest.raises(BadValueError, match=fault):
        check_protocol(name, sources)
    check_protocol("i2p-paper", Sources(vectors="is not read"))
