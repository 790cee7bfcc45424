from __future__ import annotations

import io
import json

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from safelatent.provenance.manifest import EDITED, GENERATED
from safelatent.provenance.png import disclosure_of, encode_png, read_disclosure, text_names

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


def test_properties_as_links_and_lists_are_read_too():
    xmp = """<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
      xmlns:p="http://ns.adobe.com/photoshop/1.0/" xmlns:m="http://ns.adobe.com/xap/1.0/"
      xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:RDF><r:Description>
        <i:DigitalSourceType r:resource="a type"/>
        <p:Credit><r:Alt><r:li>one</r:li><r:li>two</r:li></r:Alt></p:Credit>
        <m:CreateDate><r:value>2026</r:value></m:CreateDate>
      </r:Description></r:RDF></x:xmpmeta>"""
    assert read_disclosure(xmp.encode()) == {
        "source_type": "a type",
        "provider": "one | two",
        "time": "2026",
    }


def test_a_field_with_two_values_is_neither_of_them():
    once = disclosure_of(RECEIPT)
    end = b"</rdf:Description>"
    assert read_disclosure(once.replace(end, b"<xmp:CreateDate>1999</xmp:CreateDate>" + end)) == (
        STATED | {"time": f"{STATED['time']} | 1999"}
    )
    again = f"<xmp:CreateDate>{STATED['time']}</xmp:CreateDate>".encode()
    assert read_disclosure(once.replace(end, again + end)) == STATED


def test_the_names_of_all_texts_of_a_png_file():
    info = PngInfo()
    info.add_text("a", "1")
    info.add_text("b", "2", zip=True)
    info.add_itxt("a", "3")
    Image.new("RGB", (4, 4)).save(data := io.BytesIO(), "PNG", pnginfo=info)
    png = data.getvalue()
    assert text_names(png) == ["a", "b", "a"]
    first, end = png.index(b"tEXt") - 4, png.index(b"IEND") - 4
    late = png[first : first + 12 + int.from_bytes(png[first : first + 4])]
    assert text_names(png[:end] + late + png[end:] + late) == ["a", "b", "a", "a"]
    assert text_names(png[: png.index(b"IDAT")]) == ["a", "b", "a"]
    assert text_names(png[: png.index(b"tEXt") + 5]) == ["a"]  # cut off
    assert text_names(b"GIF" + png) == text_names(b"") == []


@pytest.mark.parametrize("xmp", [b"", b"nothing", b"<x>", b"\xff\xfe", b"<a/>"])
def test_broken_xmp_says_nothing(xmp):
    assert read_disclosure(xmp) == {}
