from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from safelatent.provenance.manifest import EDITED, GENERATED
from safelatent.provenance.png import disclosure_of, encode_png, read_disclosure

RECEIPT = {
    "id": "0b8f6a52-52a1-4a6e-8b3f-3f1f0c9c9a11",
    "time": "2026-11-28T12:00:00Z",
    "system": {"name": "Paint & <box>", "version": "2.1"},
    "provider": 'Example "Ltd" 🐱',
}
STATED = {
    "provider": 'Example "Ltd" 🐱',
    "system": "Paint & <box>",
    "version": "2.1",
    "time": "2026-11-28T12:00:00Z",
    "id": "0b8f6a52-52a1-4a6e-8b3f-3f1f0c9c9a11",
    "source_type": GENERATED,
}


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def test_the_metadata_is_json_in_the_files_text():
    picture = opened(encode_png(Image.new("RGB", (4, 4), "red"), {"prompt": "ein Kätzchen 🐱"}))
    assert json.loads(picture.text["safelatent"]) == {"prompt": "ein Kätzchen 🐱"}
    assert "xmp" not in picture.info


def test_the_disclosure_is_xmp_that_any_reader_finds():
    data = encode_png(Image.new("RGB", (4, 4), "red"), {}, disclosure_of(RECEIPT))
    assert read_disclosure(opened(data).info["xmp"]) == STATED


def test_without_a_provider_there_is_no_field_of_one():
    receipt = {name: value for name, value in RECEIPT.items() if name != "provider"}
    assert "provider" not in read_disclosure(disclosure_of(receipt))
    assert b"Credit" not in disclosure_of(receipt)


def test_an_edited_image_says_that_it_is_one():
    for relation, source in (("inputTo", GENERATED), ("parentOf", EDITED)):
        receipt = RECEIPT | {"inputs": [{"relation": relation, "sha256": "0" * 64}]}
        assert read_disclosure(disclosure_of(receipt))["source_type"] == source


def test_properties_as_attributes_are_read_too():
    xmp = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
      <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
        xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
        Iptc4xmpExt:AISystemUsed="other" Iptc4xmpExt:DigitalSourceType="a type"/>
      </rdf:RDF></x:xmpmeta>"""
    assert read_disclosure(xmp.encode()) == {"system": "other", "source_type": "a type"}


@pytest.mark.parametrize("xmp", [b"", b"nothing", b"<x>", b"\xff\xfe", b"<a/>"])
def test_broken_xmp_says_nothing(xmp):
    assert read_disclosure(xmp) == {}
