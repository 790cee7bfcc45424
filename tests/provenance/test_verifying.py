from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace as changed
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from safelatent.errors import BadValueError
from safelatent.provenance.audit_log import AuditLog
from safelatent.provenance.certificate import Signer
from safelatent.provenance.manifest import InputImage, read_manifest, sign_png
from safelatent.provenance.marks import fingerprint
from safelatent.provenance.png import disclosure_of, encode_png
from safelatent.provenance.seal import Seal
from safelatent.provenance.verifying import verify
from tests.detectors.tiny_detectors import drawn
from tests.provenance.authority import GUARDED, Authority, authority, for_tests, time_stamps
from tests.provenance.test_seal import FACTS, Corner

IMAGE, OTHER = drawn(2)


@pytest.fixture
def log(tmp_path):
    return AuditLog(file=tmp_path / "log")


@pytest.fixture
def check(tmp_path):
    def call(data: bytes, name: str = "a.png", **options):
        (tmp_path / name).write_bytes(data)
        found = verify(tmp_path / name, **options)
        return found.verdict, {(one.mark, one.state) for one in found.findings}, found

    return call


def words(found, mark: str) -> str:
    return " | ".join(one.words for one in found.findings if one.mark == mark)


def sealed(**options):
    return Seal(provider="Example Ltd", **options)(IMAGE, receipt=GUARDED, **FACTS)


def stored(picture: Image.Image, kind: str, **options) -> bytes:
    picture.save(data := io.BytesIO(), kind, **options)
    return data.getvalue()


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def test_a_signed_image_holds_and_every_mark_is_in_words(check):
    verdict, states, found = check(sealed(signer=for_tests()).png)
    assert verdict == "holds"
    assert states == {
        ("manifest", "holds"),
        ("signer", "claimed"),
        ("source", "holds"),
        ("receipt", "holds"),
        ("disclosure", "holds"),
        ("fingerprint", "holds"),
    }
    assert "test certificate, which anybody can make" in words(found, "signer")
    assert "guarded in 9 of 10 steps (max)" in words(found, "receipt")
    assert "Example Ltd, safelatent" in words(found, "disclosure")
    assert found.receipt["id"] in words(found, "disclosure")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.floats(0, allow_infinity=False), min_size=20, max_size=20))
def test_numbers_hold_whatever_they_are(check, numbers):
    """C2PA's library does not read every double to the last bit."""
    values = {f"n{n}": number for n, number in enumerate(numbers)}
    receipt = changed(GUARDED, settings=values, gamma_ratio=numbers[0])
    with TemporaryDirectory() as folder:
        log = AuditLog(file=Path(folder) / "log")
        data = Seal(signer=for_tests(), log=log)(IMAGE, receipt=receipt).png
        verdict, _, found = check(data, log=log)
    assert verdict == "holds", found
    assert found.receipt["receipt"]["settings"] == values


def test_a_signer_whom_a_named_authority_certified(check, tmp_path):
    data = sealed(signer=Signer.load(*authority().files(tmp_path))).png
    for trust, verdict, state in (
        (None, "holds", "claimed"),
        (authority().pem, "holds", "holds"),
        (Authority().pem, "does not hold", "broken"),
    ):
        found = check(data, trust=trust)
        assert found[0] == verdict
        assert ("signer", state) in found[1]
    assert "certificate of 'Example Ltd'" in words(found[2], "signer")


def test_who_signs_anew_with_a_test_certificate_is_found_out_by_the_trust(check, tmp_path):
    """The strongest forgery without the key: strip everything, and sign something else."""
    forged = Seal(provider="Example Ltd", signer=for_tests())(OTHER, receipt=GUARDED, **FACTS).png
    assert check(forged)[0] == "holds"  # which is why the signer is in words, and --trust there
    assert check(forged, trust=authority().pem)[0] == "does not hold"


def test_an_unsigned_receipt_is_a_claim(check):
    verdict, states, found = check(sealed().png)
    assert verdict == "nothing found"
    assert states == {("manifest", "absent"), ("receipt", "claimed"), ("disclosure", "claimed")}
    assert "anybody could have written it" in words(found, "receipt")


def test_a_picture_without_marks(check):
    for kind in ("PNG", "JPEG", "WEBP", "BMP"):
        verdict, states, found = check(stored(IMAGE, kind), f"a.{kind.lower()}")
        assert verdict == "nothing found"
        assert {state for _, state in states} == {"absent"}
        assert found.receipt is None
        assert found.fingerprint.startswith("ISCC:")


def test_the_log_vouches_for_an_unsigned_image(check, log):
    data = sealed(log=log).png
    verdict, states, found = check(data, log=log)
    assert verdict == "holds"
    assert ("log", "holds") in states
    assert "this very file is entry 1" in words(found, "log")
    assert "the receipt is as it was logged" in words(found, "log")


def test_a_jpeg_and_a_resized_copy_are_found_in_the_log(check, log):
    picture = opened(sealed(signer=for_tests(), log=log).png)
    for data in (
        stored(picture, "JPEG", quality=75),
        stored(picture, "WEBP"),
        stored(picture.resize((32, 32)), "PNG"),
        stored(picture.resize((256, 256)), "JPEG"),
    ):
        assert check(data)[0] == "nothing found"
        verdict, _, found = check(data, log=log)
        assert verdict == "similar"
        assert "looks like entry 1" in words(found, "log")
    verdict, _, found = check(stored(picture, "PNG"), log=log)
    assert verdict == "holds"
    assert "written again since" in words(found, "log")
    assert check(stored(OTHER, "PNG"), log=log)[0] == "nothing found"


def changed_text(data: bytes, **changes) -> bytes:
    picture = opened(data)
    receipt = json.loads(picture.text["safelatent"]) | changes
    return encode_png(picture, receipt, disclosure_of(receipt))


def test_a_changed_receipt_is_found_by_the_log(check, log):
    data = sealed(log=log).png
    for changes in ({"seed": 9}, {"prompt": "a dog"}, {"provider": "Somebody"}, {"safety": "off"}):
        verdict, _, found = check(changed_text(data, **changes), log=log)
        assert verdict == "does not hold"
        assert f"not as it was logged: {next(iter(changes))}" in words(found, "log")


def disclosed(xmp: bytes, picture: Image.Image = IMAGE, text: str | None = None) -> bytes:
    """The picture saved again with this XMP."""
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    if text is not None:
        info.add_itxt("safelatent", text)
    return stored(picture, "PNG", pnginfo=info)


def test_a_forged_disclosure_is_found_by_the_log(check, log):
    seal = Seal(provider="Example Ltd", log=log)
    mine = seal(IMAGE, receipt=GUARDED).receipt
    other = seal(OTHER, receipt=GUARDED).receipt
    true, entry_2 = disclosure_of(mine), disclosure_of(other)
    alone = b"</rdf:Description>"
    forged = {
        "provider": disclosure_of(mine | {"provider": "Somebody"}),
        "system, version": disclosure_of(mine | {"system": {"name": "Camera", "version": "9"}}),
        "time": disclosure_of(mine | {"time": "2020-01-01T00:00:00Z"}),
        "id": disclosure_of(mine | {"id": "00000000-0000-4000-8000-000000000000"}),
        "source_type": true.replace(b"trainedAlgorithmicMedia", b"digitalCapture"),
        "version": true.replace(
            alone, b"<Iptc4xmpExt:AISystemVersionUsed>9</Iptc4xmpExt:AISystemVersionUsed>" + alone
        ),
    }
    for names, xmp in forged.items():
        for data in (disclosed(xmp), stored(IMAGE, "WEBP", lossless=True, xmp=xmp)):
            verdict, states, found = check(data, log=log)
            assert verdict == "does not hold", names
            assert ("log", "broken") in states
            assert f"the disclosure is not as it was logged: {names}" in words(found, "log")
    assert "not as it was logged: " in words(check(disclosed(entry_2), log=log)[2], "log")
    assert check(disclosed(true), log=log)[0] == "holds"
    assert check(disclosed(entry_2, OTHER), log=log)[0] == "holds"
    part = true.replace(b"photoshop:Credit", b"photoshop:Headline")
    assert check(disclosed(part), log=log)[0] == "holds"  # what is left of it is true


def test_a_disclosure_without_an_id_is_compared_too(check, log):
    receipt = sealed(log=log).receipt
    xmp = disclosure_of(receipt | {"provider": "Somebody"})
    xmp = xmp.replace(b"xmpMM:DocumentID", b"xmpMM:OtherID")
    for options in ({}, {"log": log}):
        verdict, _, found = check(disclosed(xmp, text=json.dumps(receipt)), **options)
        assert verdict == "does not hold"
        assert "something else than the receipt: provider, id" in words(found, "disclosure")
    verdict, states, found = check(disclosed(xmp), log=log)
    assert verdict == "does not hold"
    assert ("disclosure", "absent") in states
    assert "no unique id" in words(found, "disclosure")


def test_a_text_in_the_receipts_place_is_found_by_the_log(check, log):
    receipt = sealed(log=log).receipt
    for text in ("guarded by max", receipt | {"schema": "safelatent-receipt/9", "safety": "off"}):
        assert check(encode_png(IMAGE, text))[0] == "nothing found"
        verdict, _, found = check(encode_png(IMAGE, text), log=log)
        assert verdict == "does not hold"
        assert "is not the receipt that was logged" in words(found, "log")


def chunks(png: bytes) -> list[bytes]:
    """The parts of a PNG file, of which the first is its signature and the last its end."""
    parts, place = [png[:8]], 8
    while place < len(png):
        end = place + 12 + int.from_bytes(png[place : place + 4])
        parts.append(png[place:end])
        place = end
    return parts


@pytest.mark.parametrize("place", [2, -1])
@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt"])
@pytest.mark.parametrize(
    ("name", "mark"), [("safelatent", "receipt"), ("XML:com.adobe.xmp", "disclosure")]
)
def test_two_texts_of_one_name_are_broken_whichever_is_genuine(check, log, place, kind, name, mark):
    made = sealed(log=log)
    forged = made.receipt | {"provider": "Somebody"}
    text = json.dumps(forged) if mark == "receipt" else disclosure_of(forged).decode()
    text = text.replace("\ufeff", "")  # the one character that a plain text cannot hold
    info = PngInfo()
    if kind == "iTXt":
        info.add_itxt(name, text)
    else:
        info.add_text(name, text, zip=kind == "zTXt")
    (extra,) = (c for c in chunks(stored(IMAGE, "PNG", pnginfo=info)) if c[4:8] == kind.encode())
    parts = chunks(made.png)
    parts.insert(place, extra)
    for options in ({}, {"log": log}):
        verdict, states, found = check(b"".join(parts), **options)
        assert verdict == "does not hold"
        assert (mark, "broken") in states
        assert f"the file has 2 texts named {name!r}, of which at most one" in words(found, mark)


def test_a_forged_disclosure_behind_the_picture_is_found_too(check, log):
    receipt = sealed(log=log).receipt
    parts = chunks(disclosed(disclosure_of(receipt | {"provider": "Somebody"})))
    parts.insert(-1, parts.pop(2))
    assert [part[4:8] for part in parts[-3:]] == [b"IDAT", b"iTXt", b"IEND"]
    assert check(b"".join(parts), log=log)[0] == "does not hold"


def test_one_reading_of_the_file_is_verified_and_no_other(check, monkeypatch, tmp_path):
    """Who swaps the file in between gets no signature for other pixels."""

    def swapped(data: bytes, trust: bytes | None):
        (tmp_path / "a.png").write_bytes(stored(OTHER, "PNG"))
        return read_manifest(data, trust)

    monkeypatch.setattr("safelatent.provenance.verifying.read_manifest", swapped)
    verdict, _, found = check(signed())
    assert (verdict, found.fingerprint) == ("holds", fingerprint(IMAGE))


def test_who_names_whom_to_trust_gets_no_unsigned_file(check, log):
    made = sealed(log=log)
    for data, options in (
        (made.png, {}),
        (made.png, {"log": log}),
        (stored(IMAGE, "JPEG"), {"log": log}),
        (stored(OTHER, "JPEG"), {}),
    ):
        assert check(data, **options)[0] != "does not hold"
        verdict, states, found = check(data, trust=authority().pem, **options)
        assert verdict == "does not hold"
        assert ("signer", "broken") in states
        assert words(found, "signer") == "nobody whom you trust: the file is not signed"


def test_a_receipt_that_contradicts_itself_is_broken_without_a_log(check):
    data = sealed().png
    verdict, _, found = check(changed_text(data, seed="five"))
    assert verdict == "does not hold"
    assert "it breaks its schema: seed" in words(found, "receipt")
    picture = opened(data)
    picture.putpixel((0, 0), (1, 2, 3))
    receipt = json.loads(picture.text["safelatent"])
    verdict, _, found = check(encode_png(picture, receipt, disclosure_of(receipt)))
    assert verdict == "does not hold"
    assert "its pixels are not those of this picture" in words(found, "receipt")
    verdict, _, found = check(
        encode_png(IMAGE, receipt, disclosure_of(receipt | {"provider": "X"}))
    )
    assert verdict == "does not hold"
    assert "something else than the receipt: provider" in words(found, "disclosure")


def test_a_receipt_without_what_it_must_have_is_broken_and_no_more(check, log):
    data = sealed(log=log).png
    for name in ("id", "system", "image", "receipt"):
        receipt = json.loads(opened(data).text["safelatent"])
        del receipt[name]
        verdict, states, found = check(encode_png(opened(data), receipt), log=log)
        assert verdict == "does not hold"
        assert {("receipt", "broken"), ("log", "holds")} <= states
        assert found.receipt is None


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the time stamps are openssl's")
def test_a_time_stamp_is_in_words(check, tmp_path):
    files = authority().files(tmp_path)
    with time_stamps(tmp_path, authority()) as address:
        data = sealed(signer=Signer.load(*files, timestamp=address)).png
    for trust, state in ((None, "claimed"), (authority().pem, "holds")):
        verdict, states, found = check(data, trust=trust)
        assert verdict == "holds"
        assert ("time stamp", state) in states
        assert words(found, "time stamp").startswith("signed at 20")


@pytest.mark.parametrize("text", [7, "text", [], {}, {"schema": "safelatent-receipt/9"}, {"a": 1}])
def test_a_text_of_another_form_is_no_receipt(check, text):
    verdict, states, found = check(encode_png(IMAGE, text))
    assert verdict == "nothing found"
    assert ("receipt", "claimed") in states
    assert found.receipt is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_any_byte_changed_in_a_signed_file_is_found(check, data):
    """Either the manifest does not hold or the file cannot be read: PNG has checksums, too."""
    png = bytearray(signed())
    place = data.draw(st.integers(0, len(png) - 1))
    png[place] ^= data.draw(st.integers(1, 255))
    assert check(bytes(png))[0] == "does not hold"


def signed() -> bytes:
    if not _SIGNED:
        _SIGNED.append(sealed(signer=for_tests()).png)
    return _SIGNED[0]


_SIGNED: list[bytes] = []


def test_the_signed_receipt_counts_and_not_the_text(check):
    """The same manifest in a file without a text, and beside another text."""
    receipt = read_manifest(signed()).receipt
    assert receipt is not None
    for text, state in ((None, "holds"), ({"a": 1}, "broken"), (receipt | {"seed": 6}, "broken")):
        png = stored(IMAGE, "PNG") if text is None else encode_png(IMAGE, text)
        data = sign_png(png, for_tests(), receipt=receipt, bindings={})
        verdict, states, found = check(data)
        assert ("receipt", state) in states
        assert verdict == ("holds" if state == "holds" else "does not hold")
        assert found.receipt == receipt


def test_a_text_added_after_signing_is_found(check):
    info = PngInfo()
    info.add_text("safelatent", "{}")
    IMAGE.save(plain := io.BytesIO(), "PNG", pnginfo=info)
    chunk = plain.getvalue()[plain.getvalue().index(b"tEXt") - 4 :]
    chunk = chunk[: 12 + int.from_bytes(chunk[:4])]
    end = signed().index(b"IEND") - 4
    verdict, states, _ = check(signed()[:end] + chunk + signed()[end:])
    assert verdict == "does not hold"
    assert ("manifest", "broken") in states


def test_an_input_with_its_marks_is_in_words(check):
    kept = InputImage(data=signed(), format="image/png")
    edited = changed(kept, relation="parentOf", data=stored(OTHER, "PNG"))
    seal = Seal(signer=for_tests())
    data = seal(OTHER, receipt=GUARDED, inputs=[kept]).png
    assert words(check(data)[2], "input") == "drawn from an image; its own manifest held then"
    broken = changed(kept, data=signed()[:-20] + bytes([signed()[-20] ^ 1]) + signed()[-19:])
    data = seal(OTHER, receipt=GUARDED, inputs=[broken]).png
    assert "its own manifest did not hold then: assertion.dataHash" in words(
        check(data)[2], "input"
    )
    data = seal(OTHER, receipt=GUARDED, inputs=[edited]).png
    found = check(data)[2]
    assert words(found, "input") == "edited from an image; it had no manifest"
    assert "a part of it made by a model" in words(found, "source")


def test_a_watermark_is_read_and_compared(check, log):
    data = Seal(log=log, watermark=Corner())(IMAGE, receipt=GUARDED).png
    verdict, states, _ = check(data, watermark=Corner(), log=log)
    assert verdict == "holds"
    assert ("watermark", "claimed") in states
    cropped = stored(opened(data).crop((0, 0, 30, 30)), "PNG")
    verdict, _, found = check(cropped, watermark=Corner(), log=log)
    assert verdict == "similar"
    assert "its watermark is that of entry 1" in words(found, "log")
    assert ("watermark", "absent") in check(stored(OTHER, "PNG"), watermark=Corner())[1]
    picture = opened(data)
    other = Corner().mark(picture, "ffffff")
    receipt = json.loads(picture.text["safelatent"])
    found = check(encode_png(other, receipt, disclosure_of(receipt)), watermark=Corner())
    assert ("watermark", "broken") in found[1]


def test_a_file_that_is_no_picture(check, tmp_path):
    verdict, states, _ = check(b"no picture at all")
    assert verdict == "does not hold"
    assert ("picture", "broken") in states
    with pytest.raises(BadValueError, match="is not a file; give the path of a picture"):
        verify(tmp_path / "none.png")
    with pytest.raises(BadValueError, match="is not a file; give the path of an audit log"):
        check(sealed().png, log=AuditLog(file=tmp_path / "none"))
