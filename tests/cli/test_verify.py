from __future__ import annotations

import io
import json
import sys

import pytest
from PIL import Image

from safelatent.cli import main
from safelatent.provenance import AuditLog, Seal, Signer
from safelatent.provenance.png import encode_png
from tests.detectors.tiny_detectors import drawn
from tests.provenance.authority import GUARDED, authority, for_tests


@pytest.fixture
def run(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(["verify", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def image(tmp_path):
    file, log = tmp_path / "a.png", AuditLog(file=tmp_path / "log")
    seal = Seal(provider="Example Ltd", signer=for_tests(), log=log)
    file.write_bytes(seal(drawn(1)[0], receipt=GUARDED, prompt="a cat").png)
    return file


def test_every_mark_has_a_line_and_the_verdict_comes_last(run, image, tmp_path):
    code, out, err = run(image, "--log", tmp_path / "log")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["manifest", "holds"]
    assert [line.split()[0] for line in lines[:-1]].count("log") == 2
    assert lines[-1].startswith(f"{image}: holds: ")


def test_the_exit_code_says_the_verdict(run, image, tmp_path):
    data = image.read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        picture.convert("RGB").save(tmp_path / "a.jpg")
        picture.save(tmp_path / "bare.png")
    image.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    log = ("--log", tmp_path / "log")
    assert run(image)[0] == 1
    assert run(tmp_path / "a.jpg")[0] == 3
    assert run(tmp_path / "a.jpg", *log)[0] == 4
    assert run(tmp_path / "bare.png")[0] == 3
    assert run(tmp_path / "bare.png", *log)[0] == 0
    assert run(tmp_path / "none.png")[0] == 2


def test_json_is_one_object(run, image):
    code, out, _ = run(image, "--json")
    found = json.loads(out)
    assert (code, found["verdict"], found["file"]) == (0, "holds", str(image))
    assert found["receipt"]["provider"] == "Example Ltd"
    assert {"mark": "manifest", "state": "holds"}.items() <= found["findings"][0].items()


@pytest.mark.parametrize(("depth", "code"), [(3, 3), (900, 1)])
def test_whatever_a_receipt_holds_json_is_one_object(run, image, depth, code):
    """NaN, which JSON does not have, and tables without end."""
    with Image.open(image) as picture:
        receipt, plain = json.loads(picture.text["safelatent"]), picture.convert("RGB")
    deep: dict = {}
    for _ in range(depth):
        deep = {"a": deep}
    receipt["receipt"] |= {"settings": deep, "gamma_ratio": float("nan")}
    image.write_bytes(encode_png(plain, receipt))
    found, out, err = run(image, "--json")
    assert (found, err) == (code, "")
    json.loads(out, parse_constant=lambda name: pytest.fail(name))


def test_the_signer_must_be_certified_by_whom_is_trusted(run, image, tmp_path):
    trusted = tmp_path / "authorities.pem"
    trusted.write_bytes(authority().pem)
    code, out, _ = run(image, "--trust", trusted)
    assert code == 1
    assert "no authority that you trust issued the certificate of 'safelatent test" in out
    seal = Seal(signer=Signer.load(*authority().files(tmp_path)))
    image.write_bytes(seal(drawn(1)[0], receipt=GUARDED).png)
    assert run(image, "--trust", trusted)[0] == 0


def test_an_unsigned_file_is_not_signed_by_whom_is_trusted(run, image, tmp_path):
    trusted = tmp_path / "authorities.pem"
    trusted.write_bytes(authority().pem)
    with Image.open(image) as picture:
        picture.save(tmp_path / "bare.png")
    log = ("--log", tmp_path / "log")
    assert run(tmp_path / "bare.png", *log)[0] == 0
    code, out, _ = run(tmp_path / "bare.png", *log, "--trust", trusted)
    assert code == 1
    assert "nobody whom you trust: the file is not signed" in out


BAD = {
    "empty trust": (
        ["a.png", "--trust", "empty"],
        "'empty' holds no certificate in PEM; give certificates, each from BEGIN CERTIFICATE to",
    ),
    "trust": (["a.png", "--trust", "none.pem"], "the trust file 'none.pem' cannot be read"),
    "log": (["a.png", "--log", "none"], "'none' is not a file; give the path of an audit log"),
    "key": (["a.png", "--log-key", "none"], "--log-key needs --log"),
    "watermark": (["a.png", "--watermark", "trustmrk"], "did you mean 'trustmark'"),
    "no watermark": (["a.png", "--watermark", "trustmark"], "run pip install trustmark"),
    "no file": (["b.png"], "'b.png' is not a file; give the path of a picture"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(run, image, case, monkeypatch):
    monkeypatch.chdir(image.parent)
    monkeypatch.setitem(sys.modules, "trustmark", None)
    (image.parent / "empty").touch()
    arguments, message = BAD[case]
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("safelatent: ")
    assert err.count("\n") == 1


def test_without_the_extra_nothing_is_said_to_hold(run, image, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    code, out, err = run(image)
    assert (code, out) == (2, "")
    assert 'run pip install "safelatent[provenance]"' in err
