from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from dataclasses import replace as changed

import pytest
from PIL import Image

from safelatent.errors import BadValueError, NotGuardedError
from safelatent.provenance.audit_log import AuditLog
from safelatent.provenance.chain import check_log, links
from safelatent.provenance.manifest import GENERATED, InputImage, read_manifest
from safelatent.provenance.marks import ISCC, fingerprint
from safelatent.provenance.png import read_disclosure
from safelatent.provenance.receipt import faults_of
from safelatent.provenance.seal import Seal, System
from tests.detectors.tiny_detectors import drawn
from tests.provenance.authority import GUARDED, authority, for_tests

FACTS = {"prompt": "a cat", "negative_prompt": None, "seed": 5, "steps": 10, "model": "embedded"}


@dataclass(frozen=True)
class Corner:
    """A watermark in the first row of pixels."""

    name: str = "com.example.corner"
    digits: int = 6

    def mark(self, image: Image.Image, payload: str) -> Image.Image:
        marked = image.copy()
        for x, digit in enumerate(payload):
            marked.putpixel((x, 0), (int(digit, 16), 1, 2))
        return marked

    def read(self, image: Image.Image) -> str | None:
        row = [image.getpixel((x, 0)) for x in range(self.digits)]
        return "".join(f"{p[0]:x}" for p in row) if all(p[1:] == (1, 2) for p in row) else None


@pytest.fixture
def image():
    return drawn(1)[0]


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def entries(log: AuditLog) -> list[dict]:
    assert check_log(log.file).holds
    return [entry for _, entry, _ in links(log.file)]


def test_a_plain_seal_describes_the_image_and_changes_no_pixel(image):
    sealed = Seal(provider="Example Ltd")(image, receipt=GUARDED, **FACTS)
    picture = opened(sealed.png)
    assert picture.tobytes() == image.tobytes()
    assert json.loads(picture.text["safelatent"]) == sealed.receipt
    assert faults_of(sealed.receipt) == []
    assert sealed.receipt["safety"] == "max"
    assert sealed.receipt["receipt"] == GUARDED.as_dict()
    assert {name: sealed.receipt[name] for name in FACTS} == FACTS
    stated = read_disclosure(picture.info["xmp"])
    assert stated["id"] == sealed.receipt["id"]
    assert (stated["provider"], stated["source_type"]) == ("Example Ltd", GENERATED)
    assert read_manifest(sealed.png) is None


def test_an_unguarded_image_says_so(image):
    sealed = Seal()(image, receipt=None)
    assert (sealed.receipt["safety"], sealed.receipt["receipt"]) == ("off", None)


def test_what_is_signed_is_what_the_file_says(image):
    system = System(name="Paintbox", version="2.1")
    sealed = Seal(system=system, signer=for_tests())(image, receipt=GUARDED, **FACTS)
    manifest = read_manifest(sealed.png)
    assert manifest.faults == ()
    assert manifest.receipt == sealed.receipt
    assert manifest.receipt == json.loads(opened(sealed.png).text["safelatent"])
    assert manifest.bindings == {ISCC: fingerprint(image)}
    assert opened(sealed.png).tobytes() == image.tobytes()


def test_the_log_has_the_file_before_it_is_given_out_and_no_prompt(tmp_path, image):
    log = AuditLog(file=tmp_path / "log")
    for signer in (None, for_tests()):
        sealed = Seal(signer=signer, log=log)(image, receipt=GUARDED, **FACTS, request="0" * 64)
        record = entries(log)[-1]["record"]
        from hashlib import sha256

        assert record["file"] == sha256(sealed.png).hexdigest()
        assert record["iscc"] == fingerprint(image)
        assert record["signer"] == (None if signer is None else signer.name)
        hidden = {"prompt", "negative_prompt", "request"}
        shown = {name: value for name, value in sealed.receipt.items() if name not in hidden}
        assert record["receipt"] == shown
        assert record["prompt"] == log.conceal("a cat")
        assert record["request"] == log.conceal("0" * 64)
        assert record["negative_prompt"] is None
    assert "a cat" not in log.file.read_text()
    assert len(entries(log)) == 2


def test_a_watermark_is_put_in_first_and_bound(tmp_path, image):
    log = AuditLog(file=tmp_path / "log")
    seal = Seal(signer=for_tests(), log=log, watermark=Corner())
    sealed = seal(image, receipt=GUARDED, **FACTS)
    payload = sealed.receipt["id"][:6]
    picture = opened(sealed.png)
    assert Corner().read(picture) == payload
    assert sealed.receipt["watermark"] == {"name": "com.example.corner", "payload": payload}
    assert faults_of(sealed.receipt) == []
    manifest = read_manifest(sealed.png)
    assert manifest.faults == ()
    assert manifest.bindings == {ISCC: fingerprint(picture), "com.example.corner": payload}


def test_inputs_are_in_receipt_and_manifest(image):
    before = Seal(signer=for_tests())(image, receipt=GUARDED).png
    kept = InputImage(data=before, format="image/png", relation="parentOf")
    sealed = Seal(signer=for_tests())(drawn(2)[1], receipt=GUARDED, inputs=[kept])
    assert [one["relation"] for one in sealed.receipt["inputs"]] == ["parentOf"]
    (read,) = read_manifest(sealed.png).inputs
    assert (read.relation, read.signed, read.faults) == ("parentOf", True, ())
    assert "compositeWith" in read_disclosure(opened(sealed.png).info["xmp"])["source_type"]


def test_what_is_no_pil_image_is_refused():
    with pytest.raises(BadValueError, match="the image is a bytes; give a PIL image"):
        Seal()(b"", receipt=GUARDED)


def test_a_misspelt_fact_is_refused(image):
    with pytest.raises(BadValueError, match=r"did you mean 'prompt'"):
        Seal()(image, receipt=GUARDED, promt="a cat")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"safety": "strong"}, "safety is 'strong', and the receipt says 'max'; leave it out"),
        ({"safety": None}, "safety is None, and the receipt says 'max'; leave it out"),
        ({"id": "x"}, "id is 'x', and the seal writes that itself"),
        ({"time": "1999"}, "time is '1999', and the seal writes that itself"),
        ({"schema": "x"}, "schema is 'x', and"),
        ({"provider": "Somebody"}, "provider is 'Somebody', and"),
        ({"system": {}}, "system is {}, and"),
        ({"watermark": {}}, "watermark is {}, and"),
    ],
)
def test_a_fact_that_the_seal_knows_itself_is_refused(tmp_path, image, facts, message):
    log = AuditLog(file=tmp_path / "log")
    for seal in (Seal(), Seal(log=log), Seal(signer=for_tests())):
        with pytest.raises(BadValueError, match=message):
            seal(image, receipt=GUARDED, **facts)
    assert not log.file.exists()


def test_a_safety_may_be_said_again_or_be_that_of_the_model(image):
    assert Seal()(image, receipt=GUARDED, safety="max").receipt["safety"] == "max"
    assert Seal()(image, receipt=GUARDED, safety="saved").receipt["safety"] == "saved"
    assert Seal()(image, receipt=None, safety="off").receipt["safety"] == "off"
    own = changed(GUARDED, safety=None)
    for safety, published in (("max", None), (None, None), ("saved", "saved")):
        assert Seal()(image, receipt=own, safety=safety).receipt["safety"] == published
    assert Seal()(image, receipt=own).receipt["safety"] is None
    for safety in ("max", "saved", None):
        with pytest.raises(BadValueError, match="the receipt says 'off'"):
            Seal()(image, receipt=None, safety=safety)


def test_a_receipt_that_breaks_its_schema_is_neither_signed_nor_logged(tmp_path, image):
    log = AuditLog(file=tmp_path / "log")
    for seal in (Seal(log=log), Seal(signer=for_tests())):
        with pytest.raises(BadValueError, match="breaks its schema: seed: -1 is less than"):
            seal(image, receipt=GUARDED, seed=-1)
    assert not log.file.exists()


def test_without_a_time_stamp_there_is_no_file_and_no_entry(tmp_path, image):
    log = AuditLog(file=tmp_path / "log")
    signer = changed(for_tests(), timestamp="http://127.0.0.1:9/")
    with pytest.raises(BadValueError, match="gives no time stamp"):
        Seal(signer=signer, log=log)(image, receipt=GUARDED, **FACTS)
    assert not log.file.exists()


def test_a_full_disk_gives_no_image(tmp_path, image, monkeypatch):
    log = AuditLog(file=tmp_path / "log")
    log.append("image", {})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*log'"):
        Seal(log=log)(image, receipt=GUARDED)
    assert len(entries(log)) == 1


def test_check_raises_what_a_call_would_and_logs_nothing(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    Seal(signer=for_tests(), log=log, watermark=Corner()).check()
    assert entries(log) == []
    certificate, key = authority().files(tmp_path, purpose=None)
    from safelatent.provenance.certificate import Signer

    with pytest.raises(BadValueError, match="does not sign with"):
        Seal(signer=Signer.load(certificate, key)).check()
    log.file.write_bytes(b"no log\n")
    with pytest.raises(BadValueError, match="is damaged"):
        Seal(log=log).check()
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadValueError, match="is a folder; name a file"):
        Seal(log=AuditLog(file=tmp_path / "folder")).check()


def test_a_refusal_is_logged_without_prompt_and_message(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    Seal().refuse(NotGuardedError("'a cat' is the concept"), **FACTS)
    Seal(log=log).refuse(NotGuardedError("'a cat' is the concept"), **FACTS, request="0" * 64)
    (entry,) = entries(log)
    assert entry["event"] == "refused"
    assert entry["record"]["error"] == "NotGuardedError"
    assert entry["record"]["request"] == log.conceal("0" * 64)
    assert entry["record"]["facts"] == {"seed": 5, "steps": 10, "model": "embedded"}
    assert "a cat" not in log.file.read_text()


@pytest.mark.parametrize("name", ["a\x01b", "caf\udce9", "two\nlines", "\ufffe", " "])
def test_a_name_that_no_reader_would_find_again_is_refused(name):
    """The disclosure is XML: with a control character in it, readers find none."""
    for make in (
        lambda: Seal(provider=name),
        lambda: System(name=name, version="1"),
        lambda: System(name="Paintbox", version=name),
    ):
        with pytest.raises(BadValueError, match="give printable text"):
            make()
