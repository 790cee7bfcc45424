from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import replace
from uuid import uuid4

import jsonschema
import numpy as np
import pytest
from PIL import Image

from safelatent import __version__
from safelatent.errors import BadValueError
from safelatent.provenance.manifest import InputImage
from safelatent.provenance.receipt import (
    SAFELATENT,
    SCHEMA,
    System,
    faults_of,
    is_same,
    new_receipt,
    pixel_digest,
    schema,
)
from tests.provenance.authority import GUARDED

PICTURE = Image.new("RGB", (4, 3), "red")
FACTS = {"safety": "max", "receipt": GUARDED.as_dict(), "prompt": "a cat", "seed": 5, "steps": 10}
# What a policy will add; today nothing does.
LATER = {
    "policy": {"name": "school", "sha256": "0" * 64, "effective_sha256": "1" * 64},
    "checks": [
        {"stage": "prompt", "name": "concepts", "score": 0.1, "threshold": 0.3, "label": "safe"},
        {"stage": "output", "name": "q16", "attempt": 2, "score": None, "label": "error"},
    ],
    "retries": [{"safety": "strong", "seed": 5, "reason": "output refused"}],
    "decision": "given out",
    "reason": "none",
}


def made(facts=FACTS, **options):
    given = {"identity": str(uuid4()), "provider": "Example Ltd", "system": SAFELATENT}
    return new_receipt(PICTURE, facts, **(given | options))


def test_a_receipt_follows_the_published_schema():
    jsonschema.Draft202012Validator.check_schema(schema())
    receipt = made()
    assert faults_of(receipt) == []
    assert faults_of(json.loads(json.dumps(receipt))) == []
    assert receipt["schema"] == SCHEMA == schema()["title"]
    assert receipt["receipt"] == GUARDED.as_dict()


def test_the_four_fields_of_a_latent_disclosure_are_there():
    receipt = made(system=System(name="Paintbox", version="2.1"))
    assert receipt["provider"] == "Example Ltd"
    assert receipt["system"] == {"name": "Paintbox", "version": "2.1"}
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", receipt["time"])
    assert made()["id"] != receipt["id"]


def test_what_did_not_happen_is_absent():
    receipt = made(provider=None)
    assert faults_of(receipt) == []
    assert not {"provider", "inputs", "watermark", *LATER} & receipt.keys()


def test_the_places_of_a_policy_are_in_the_schema():
    assert faults_of(made(FACTS | LATER)) == []
    for name in LATER:
        assert faults_of(made(FACTS | {name: 7})), name


def test_the_choices_of_adaptive_guidance_are_in_the_schema():
    chosen = {"step": 0, "names": ["violence"], "share": 0.2}
    adaptive = replace(GUARDED, safety="adaptive", categories=[chosen])
    assert faults_of(made(FACTS | {"receipt": adaptive.as_dict()})) == []
    for broken in ({"names": []}, {"share": 0}, {"share": 1.5}, {"step": -1}):
        wrong = replace(adaptive, categories=[chosen | broken])
        assert faults_of(made(FACTS | {"receipt": wrong.as_dict()})), broken


def test_an_unguarded_image_has_no_guard():
    receipt = made(FACTS | {"safety": "off", "receipt": None})
    assert faults_of(receipt) == []
    assert receipt["receipt"] is None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"schema": "safelatent-receipt/2"}, "schema"),
        ({"id": "1"}, "id"),
        ({"time": "yesterday"}, "time"),
        ({"seed": -1}, "seed"),
        ({"seed": "5"}, "seed"),
        ({"provider": ""}, "provider"),
        ({"image": {"sha256": "0" * 64, "width": 0, "height": 1}}, "image.width"),
        ({"receipt": {"guided_steps": 3}}, "receipt"),
        ({"request": "short"}, "request"),
        ({"note": "later"}, "it"),
    ],
)
def test_what_breaks_the_schema_is_named(change, where):
    faults = faults_of(made() | change)
    assert faults
    assert faults[0].startswith(f"{where}: ")
    for broken in (None, [], "text", 7):
        assert faults_of(broken)


def test_what_is_said_of_a_fault_is_short():
    (fault,) = faults_of(made() | {"seed": "x" * 100_000})
    assert len(fault) < 300
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert faults_of(made() | {"note": deep})


def test_every_required_field_is_missed():
    for name in schema()["required"]:
        receipt = deepcopy(made())
        del receipt[name]
        assert faults_of(receipt), name


def test_an_unknown_fact_is_refused_with_a_suggestion():
    with pytest.raises(BadValueError, match=r"no field 'promt' \(did you mean 'prompt'\?\)"):
        made(FACTS | {"promt": "a cat"})


def test_inputs_are_named_by_their_hash():
    inputs = [InputImage(data=b"abc", format="image/png")]
    receipt = made(inputs=inputs)
    assert faults_of(receipt) == []
    assert receipt["inputs"] == [
        {
            "relation": "inputTo",
            "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        }
    ]


def test_the_digest_of_pixels_is_as_the_schema_says():
    from hashlib import sha256

    pixels = np.asarray(PICTURE).tobytes()
    assert pixel_digest(PICTURE) == sha256(b"4x3 RGB\n" + pixels).hexdigest()
    assert pixel_digest(PICTURE) == pixel_digest(PICTURE.convert("RGBA"))
    assert pixel_digest(PICTURE) != pixel_digest(PICTURE.resize((3, 4)))


def test_receipts_are_the_same_up_to_the_last_bit_of_a_number():
    assert is_same(made() | {"time": 1}, made() | {"time": 1}) is False  # another id
    one, other = {"a": [0.1, None, "x"], "b": 2.0}, {"a": [0.1 + 2e-17, None, "x"], "b": 2}
    assert is_same(one, other)
    assert is_same(other, one)
    for one, other in (
        ({"a": 0.1}, {"a": 0.1000001}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1}, {"b": 1}),
        ([1, 2], [1]),
        (1, True),
        ("1", 1),
        (None, 0),
        (2**60, 2**60 + 1),
    ):
        assert not is_same(one, other)


def test_a_system_is_a_name_and_a_version():
    assert System.parse(" Paint box  2.1 ") == System(name="Paint box", version="2.1")
    assert (SAFELATENT.name, SAFELATENT.version) == ("safelatent", __version__)
    for text in ("", "Paintbox", " 2.1"):
        with pytest.raises(BadValueError, match="give its name and its version"):
            System.parse(text)
