"""How ``generate`` signs and logs."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from types import SimpleNamespace

import pytest
from PIL import Image

from safelatent.cli import main, sealing
from safelatent.provenance import AuditLog, check_log, verify
from safelatent.provenance.chain import links
from safelatent.provenance.manifest import read_manifest
from tests import tiny
from tests.policy.scripted import Scripted
from tests.provenance.authority import Authority, authority
from tests.provenance.test_marks import Model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    target = tmp_path_factory.mktemp("models") / "tiny"
    tiny.pipeline().save_pretrained(target)
    return str(target)


@pytest.fixture
def run(capsys, tmp_path, model, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, given=("a cat",)) -> tuple[int, str, str]:
        drawing = ["--model", model, "--safety", "max", "--steps", "2"]
        code = main(["generate", *given, *drawing, *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def records(file) -> list[dict]:
    assert check_log(file).holds
    return [entry for _, entry, _ in links(file)]


def test_sign_and_log(run, tmp_path):
    code, out, _ = run("--sign", "--log", "new/log", "--images", "2", "--provider", "Example Ltd")
    assert code == 0
    files = [tmp_path / line.partition("  ")[0] for line in out.splitlines()]
    logged = records(tmp_path / "new/log")
    assert [entry["record"]["file"] for entry in logged] == [
        sha256(file.read_bytes()).hexdigest() for file in files
    ]
    assert [entry["record"]["receipt"]["seed"] for entry in logged] == [0, 1]
    assert "a cat" not in (tmp_path / "new/log").read_text()
    for file in files:
        found = verify(file)
        assert found.verdict == "holds"
        assert found.receipt["provider"] == "Example Ltd"
        assert found.receipt["receipt"]["guided_steps"] == 2


def test_a_certificate_and_a_name(run, tmp_path):
    certificate, key = authority().files(tmp_path)
    code, out, _ = run(
        *("--sign", "--certificate", certificate, "--key", key, "--system", "Paint box 2.1"),
        "--json",
    )
    assert code == 0
    shown = json.loads(out)
    assert shown["system"] == {"name": "Paint box", "version": "2.1"}
    found = read_manifest((tmp_path / shown["file"]).read_bytes(), authority().pem)
    assert (found.signer, found.trusted) == ("Example Ltd", True)
    assert found.receipt == {name: value for name, value in shown.items() if name != "file"}


def test_prompts_as_they_are_and_a_key_elsewhere(run, tmp_path):
    assert run("--log", "plain", "--log-prompts")[0] == 0
    assert records(tmp_path / "plain")[0]["record"]["prompt"] == {"text": "a cat"}
    assert run("--log", "hashed", "--log-key", "keys/secret")[0] == 0
    assert (tmp_path / "keys/secret").stat().st_size == 32
    assert not (tmp_path / "hashed.key").exists()


def test_a_refusal_is_logged(run, tmp_path):
    code, out, _ = run("--log", "log", given=("a cat", "--concept", "a cat"))
    assert (code, out) == (2, "")
    (entry,) = records(tmp_path / "log")
    assert (entry["event"], entry["record"]["error"]) == ("refused", "NotGuardedError")
    assert not (tmp_path / "out").exists()


def test_a_call_beyond_a_limit_of_the_policy_is_logged(run, tmp_path):
    (tmp_path / "policy.toml").write_text("version = 1\n[limits]\nleast_steps = 3")
    code, out, said = run("--log", "log", "--policy", "policy.toml", "--json")
    assert code == 2
    assert "the policy allows at least 3" in said
    (entry,) = records(tmp_path / "log")
    assert (entry["event"], entry["record"]["error"]) == ("refused", "PolicyError")
    decision, logged = json.loads(out)["decision"], entry["record"]["facts"]
    assert (decision["reason"], logged["reason"]) == ("over limit", "over limit")
    assert logged["policy"]["effective_sha256"] == decision["effective"]["hash"]
    assert "a cat" not in (tmp_path / "log").read_text()


def test_the_seed_of_a_retry_is_the_one_that_is_published(run, tmp_path, monkeypatch):
    protocol = Scripted(script=["inappropriate"])
    monkeypatch.setattr("safelatent.policy.enforce.named_protocol", lambda *_: protocol)
    policy = 'version = 1\n[output]\nprotocols = ["embedded"]\nretries = 1'
    (tmp_path / "policy.toml").write_text(policy)
    code, out, _ = run("--sign", "--log", "log", "--policy", "policy.toml", "--json")
    assert code == 0
    receipt = json.loads(out)
    assert receipt["retries"] == [{"safety": "max", "seed": 0, "reason": "output refused"}]
    assert receipt["seed"] != 0
    found = verify(tmp_path / receipt["file"], log=AuditLog(file=tmp_path / "log"))
    assert (found.verdict, found.receipt["seed"]) == ("holds", receipt["seed"])


def test_a_watermark(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trustmark", SimpleNamespace(TrustMark=Model))
    monkeypatch.setattr(Model, "encode", lambda self, image, secret, **_: image)
    code, out, _ = run("--watermark", "trustmark", "--json")
    assert code == 0
    shown = json.loads(out)
    mark = {"name": "com.adobe.trustmark.P", "payload": shown["id"].replace("-", "")[:15]}
    assert shown["watermark"] == mark


BAD = {
    "certificate alone": (["--sign", "--certificate", "a.pem"], "belong together; give both"),
    "key alone": (["--sign", "--key", "a.key"], "belong together; give both"),
    "certificate without sign": (
        ["--certificate", "a.pem", "--key", "a.key"],
        "--certificate needs --sign; add it, or leave --certificate out",
    ),
    "time stamp without sign": (["--timestamp", "http://a.b"], "--timestamp needs --sign"),
    "log key without log": (["--log-key", "a"], "--log-key needs --log"),
    "log prompts without log": (["--log-prompts"], "--log-prompts needs --log"),
    "no certificate": (
        ["--sign", "--certificate", "none.pem", "--key", "none.key"],
        "the certificate 'none.pem' cannot be read (No such file or directory)",
    ),
    "no authority": (
        ["--sign", "--timestamp", "http://127.0.0.1:9/"],
        "the time-stamp authority http://127.0.0.1:9/ gives no time stamp",
    ),
    "no address": (["--sign", "--timestamp", "here"], "give its address, for example http://"),
    "system": (["--system", "Paintbox"], "give its name and its version"),
    "provider": (["--provider", " "], "--provider is ' '; give a name"),
    "watermark": (["--watermark", "trustmrk"], "did you mean 'trustmark'"),
    "no watermark": (["--watermark", "trustmark"], "run pip install trustmark"),
    "signed sheet": (["--sign", "--compare"], "--sign is for images, not for sheets"),
    "logged sheet": (["--log", "a", "--trace"], "--log is for images, not for sheets"),
    "log in a file": (["--log", "/etc/passwd/log"], "/etc/passwd is not a folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_before_anything_is_drawn(capsys, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "trustmark", None)
    arguments, message = BAD[case]
    code = main(["generate", "a cat", *arguments])
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert message in captured.err
    assert captured.err.startswith("safelatent: ")
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_key_of_another_certificate(run, tmp_path):
    certificate, _ = authority().files(tmp_path)
    _, key = Authority().files(tmp_path, "other")
    code, out, err = run("--sign", "--certificate", certificate, "--key", key)
    assert (code, out) == (2, "")
    assert "does not belong to the first certificate" in err


@pytest.mark.parametrize(
    ("module", "option"),
    [("c2pa", ["--sign"]), ("cryptography", ["--sign"]), ("iscc_lib", ["--log", "log"])],
)
def test_without_the_extra_the_message_names_the_pip_line(
    run, tmp_path, monkeypatch, module, option
):
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    code, out, err = run(*option)
    assert (code, out) == (2, "")
    assert 'run pip install "safelatent[provenance]"' in err
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_receipt_is_there_and_unsigned(run, tmp_path, monkeypatch):
    for name in ("c2pa", "cryptography", "iscc_lib", "jsonschema"):
        monkeypatch.setitem(sys.modules, name, None)
    code, out, _ = run("--provider", "Example Ltd", "--json")
    assert code == 0
    assert json.loads(out)["provider"] == "Example Ltd"
    assert json.loads(out)["receipt"]["guided_steps"] == 2
    assert read_text(tmp_path / json.loads(out)["file"])["id"] == json.loads(out)["id"]


def read_text(file) -> dict:
    with Image.open(file) as picture:
        picture.load()
        return json.loads(picture.info["safelatent"])


def test_a_log_that_fails_gives_no_image(run, tmp_path, monkeypatch):
    import os

    really = os.pwrite

    def full(handle, data, place):
        if b'"event":"image"' in data:
            raise OSError(28, "No space left on device")
        return really(handle, data, place)

    monkeypatch.setattr(os, "pwrite", full)
    code, out, err = run("--log", "log")
    assert (code, out) == (2, "")
    assert err.endswith("safelatent: log: No space left on device\n")
    assert records(tmp_path / "log") == []
    assert not (tmp_path / "out").exists()


def test_every_option_has_a_help_of_whole_words():
    shared = [getattr(sealing, name) for name in dir(sealing) if name[0].isupper()]
    helps = [one.__metadata__[0].help for one in shared if hasattr(one, "__metadata__")]
    assert len(helps) == 10
    for text in helps:
        assert text[0].isupper()
        assert text.endswith(".")
