"""Manifests as C2PA's own reader reads them."""

from __future__ import annotations

import io
import json
import shutil
from functools import cache

import c2pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from safelatent.errors import BadValueError
from safelatent.provenance.certificate import PURPOSES, TEST_NAME, Signer
from safelatent.provenance.manifest import (
    EDITED,
    GENERATED,
    RECEIPT,
    InputImage,
    read_manifest,
    sign_png,
)
from tests.provenance.authority import KINDS, Authority, authority, for_tests, serving, time_stamps

SAID = {"id": "an-id", "system": {"name": "Paintbox", "version": "2.1"}, "ratio": 0.25, "no": None}
BINDINGS = {"io.iscc.v0": "ISCC:AAA", "com.adobe.trustmark.P": "123abc"}


def png(colour: str = "red") -> bytes:
    Image.new("RGB", (64, 64), colour).save(encoded := io.BytesIO(), "PNG")
    return encoded.getvalue()


def sign(signer: Signer, **options) -> bytes:
    given = {"receipt": SAID, "bindings": BINDINGS} | options
    return sign_png(given.pop("png", png()), signer, **given)


@cache
def signed() -> bytes:
    return sign(for_tests())


def store(data: bytes) -> tuple[str, dict, dict]:
    """State, active manifest and everything, by C2PA's reader with its own settings."""
    with c2pa.Reader("image/png", io.BytesIO(data)) as reader:
        whole = json.loads(reader.json())
        return (
            str(reader.get_validation_state()),
            whole["manifests"][whole["active_manifest"]],
            whole,
        )


def test_c2pas_own_reader_finds_what_was_signed():
    state, manifest, whole = store(signed())
    assert state == "Valid"
    assert [one["code"] for one in whole["validation_status"]] == ["signingCredential.untrusted"]
    assertions = {one["label"]: one["data"] for one in manifest["assertions"]}
    assert assertions[RECEIPT] == SAID
    assert assertions["c2pa.actions.v2"]["actions"] == [
        {"action": "c2pa.created", "digitalSourceType": GENERATED}
    ]
    bound = [a["data"] for a in manifest["assertions"] if a["label"] == "c2pa.soft-binding"]
    assert {one["alg"]: one["blocks"][0]["value"] for one in bound} == BINDINGS
    assert manifest["claim_generator_info"][0]["name"] == "Paintbox"
    assert manifest["title"] == "an-id.png"
    assert "thumbnail" not in manifest
    assert manifest["signature_info"]["common_name"] == TEST_NAME


def test_the_picture_is_the_same_and_the_overhead_small():
    one, other = (Image.open(io.BytesIO(data)) for data in (png(), signed()))
    assert one.tobytes() == other.tobytes()
    assert len(signed()) - len(png()) < 8000


def test_what_is_read_is_what_was_signed():
    found = read_manifest(signed())
    assert found is not None
    assert (found.faults, found.signer, found.test, found.trusted) == ((), TEST_NAME, True, False)
    assert (found.receipt, found.bindings, found.source_types) == (SAID, BINDINGS, (GENERATED,))
    assert (found.time, found.time_trusted, found.inputs) == (None, False, ())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key_signs_and_the_named_authority_is_trusted(tmp_path, kind):
    data = sign(Signer.load(*authority().files(tmp_path, kind=kind)))
    for trust, trusted in ((None, False), (authority().pem, True), (Authority().pem, False)):
        found = read_manifest(data, trust)
        assert (found.faults, found.signer, found.trusted) == ((), "Example Ltd", trusted)
        assert not found.test


@pytest.mark.parametrize("purpose", PURPOSES)
def test_certificates_for_every_purpose_that_c2pa_takes_sign(tmp_path, purpose):
    signer = Signer.load(*authority().files(tmp_path, purpose=purpose))
    assert read_manifest(sign(signer), authority().pem).trusted


@pytest.mark.parametrize("purpose", ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", None])
def test_certificates_for_other_purposes_do_not(tmp_path, purpose):
    signer = Signer.load(*authority().files(tmp_path, purpose=purpose))
    with pytest.raises(BadValueError, match="does not sign with the certificate of 'Example Ltd'"):
        sign(signer)


@given(place=st.integers(0, len(signed()) - 1), bits=st.integers(1, 255))
def test_any_changed_byte_outside_the_manifest_is_found(place, bits):
    """Inside, some bytes are padding; a change there changes nothing that is read."""
    data = bytearray(signed())
    data[place] ^= bits
    begin = signed().index(b"caBX") - 4
    end = begin + 12 + int.from_bytes(signed()[begin : begin + 4])
    found = read_manifest(bytes(data))
    if found is not None and not found.faults:
        assert begin + 8 <= place < end
        assert found == read_manifest(signed())


def test_a_text_written_after_signing_is_found():
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("note", "later")
    Image.open(io.BytesIO(png())).save(plain := io.BytesIO(), "PNG", pnginfo=info)
    chunk = plain.getvalue()[plain.getvalue().index(b"tEXt") - 4 :]
    chunk = chunk[: 12 + int.from_bytes(chunk[:4])]
    end = signed().index(b"IEND") - 4
    found = read_manifest(signed()[:end] + chunk + signed()[end:])
    assert any("dataHash.mismatch" in fault for fault in found.faults)


def test_a_manifest_moved_to_another_picture_does_not_hold():
    begin = signed().index(b"caBX") - 4
    chunk = signed()[begin : begin + 12 + int.from_bytes(signed()[begin : begin + 4])]
    other = png("blue")
    at = other.index(b"IDAT") - 4
    found = read_manifest(other[:at] + chunk + other[at:])
    assert found is not None
    assert found.faults


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_files_without_a_manifest_have_none(kind):
    Image.new("RGB", (64, 64)).save(data := io.BytesIO(), kind)
    assert read_manifest(data.getvalue()) is None
    assert read_manifest(b"") is None
    assert read_manifest(b"no picture") is None


def test_a_file_that_is_cut_off_is_a_fault():
    for length in (100, len(signed()) // 2):
        assert read_manifest(signed()[:length]).faults


def test_the_marks_of_an_input_are_kept():
    kept = InputImage(data=signed(), format="image/png", title="first.png")
    data = sign(for_tests(), png=png("blue"), inputs=[kept])
    state, manifest, whole = store(data)
    assert state == "Valid"
    (one,) = manifest["ingredients"]
    assert (one["title"], one["relationship"]) == ("first.png", "inputTo")
    before = whole["manifests"][one["active_manifest"]]
    assert {a["label"]: a["data"] for a in before["assertions"]}[RECEIPT] == SAID
    assert read_manifest(data).source_types == (GENERATED,)
    (read,) = read_manifest(data).inputs
    assert (read.title, read.relation, read.signed, read.faults) == (
        "first.png",
        "inputTo",
        True,
        (),
    )


def test_an_edited_image_is_the_parent():
    parent = InputImage(data=signed(), format="image/png", relation="parentOf")
    data = sign(for_tests(), png=png("blue"), inputs=[parent])
    state, manifest, _ = store(data)
    assert state == "Valid"
    actions = next(a["data"] for a in manifest["assertions"] if "actions" in a["label"])["actions"]
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited"]
    assert read_manifest(data).source_types == (EDITED,)
    assert [one.relation for one in read_manifest(data).inputs] == ["parentOf"]


def test_an_input_without_marks_or_with_broken_ones_says_so():
    broken = signed()[:-20] + bytes([signed()[-20] ^ 1]) + signed()[-19:]
    inputs = [InputImage(data=data, format="image/png") for data in (png(), broken)]
    found = read_manifest(sign(for_tests(), inputs=inputs))
    assert found.faults == ()
    assert [one.signed for one in found.inputs] == [False, True]
    assert found.inputs[0].faults == ()
    assert any("dataHash.mismatch" in fault for fault in found.inputs[1].faults)


def test_an_input_that_is_no_picture_is_refused():
    with pytest.raises(BadValueError, match="the input 'input' is no image/png that C2PA reads"):
        sign(for_tests(), inputs=[InputImage(data=b"nothing", format="image/png")])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the time stamps are openssl's")
def test_a_time_stamp(tmp_path):
    with time_stamps(tmp_path, authority()) as address:
        certificate, key = authority().files(tmp_path)
        data = sign(Signer.load(certificate, key, timestamp=address))
    for trust, trusted in ((None, False), (authority().pem, True)):
        found = read_manifest(data, trust)
        assert found.faults == ()
        assert found.time.startswith("20")
        assert found.time_trusted is trusted


def test_an_authority_that_gives_no_time_stamp_leaves_nothing_signed(tmp_path):
    certificate, key = authority().files(tmp_path)
    with pytest.raises(BadValueError, match=r"127\.0\.0\.1:9/ gives no time stamp .* nothing was"):
        sign(Signer.load(certificate, key, timestamp="http://127.0.0.1:9/"))
    for answer in (b"", b"no time stamp", b"<html>502</html>"):
        with (
            serving(lambda _, answer=answer: answer) as address,
            pytest.raises(BadValueError, match="gives no time stamp"),
        ):
            sign(Signer.load(certificate, key, timestamp=address))
