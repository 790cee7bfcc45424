from __future__ import annotations

import hashlib
import json
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from safelatent.cli import main
from safelatent.detectors.clip_q16 import PUBLISHED, read_vectors
from safelatent.generation.save import save_picture
from tests.detectors.tiny_detectors import drawn

EMBEDDED = ["--protocol", "embedded"]


@pytest.fixture
def pictures(tmp_path):
    """A black one, a noisy one, and one that is no picture."""
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_what_cannot_be_judged_is_not_safe_and_stops_no_other(pictures, capsys):
    files = [str(pictures / name) for name in ("black.png", "noise.png", "broken.png")]
    assert main(["check", *files, *EMBEDDED, "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["file"] for line in lines] == files
    assert {line["label"] for line in lines} == {"unusable"}
    assert len({line["protocol_hash"] for line in lines}) == 1


def test_a_page_holds_blurred_pictures_and_escapes_names(pictures, capsys):
    odd = pictures / "<b>odd.png"
    (pictures / "noise.png").rename(odd)
    page = pictures / "page.html"
    odd_and_broken = [str(odd), str(pictures / "broken.png")]
    assert main(["check", *odd_and_broken, *EMBEDDED, "--page", str(page)]) == 1
    text = page.read_text()
    assert "&lt;b&gt;odd.png" in text
    assert "<b>odd" not in text
    assert text.count("data:image/png;base64,") == 1
    assert "no image" in text
    assert str(page) in capsys.readouterr().err


def test_a_name_that_is_no_text_is_printed_in_ascii(pictures, capsys):
    odd = pictures / b"\xff.png".decode("utf-8", "surrogateescape")
    (pictures / "noise.png").rename(odd)
    page = ["--page", str(pictures / "page.html")]
    assert main(["check", str(odd), *EMBEDDED, *page]) == 1
    assert r"\udcff.png" in capsys.readouterr().out
    assert r"\udcff.png" in (pictures / "page.html").read_text()
    assert main(["check", str(odd), *EMBEDDED, "--json"]) == 1
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)["file"] == str(odd)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png"], "'nowhere.png' is not a file; give picture files or folders"),
        (["{black}"], "black.png' does not name its model, so no protocol is chosen for you"),
        (["{folder}/empty"], "has no picture"),
        (["{black}", "--protocol", "embeded"], "did you mean 'embedded'"),
        (["{black}", "--protocol", ""], "unknown protocol ''"),
        (["{black}", *EMBEDDED, "--page", "{black}/page.html"], "black.png is not a folder"),
        (["{black}", "--protocol", "i2p-paper"], "needs Q16's two published vectors"),
        (["{black}", "--page", "page.txt"], "must end in .html"),
        (
            ["{black}", "--protocol", "i2p-paper", "--vectors", "missing"],
            "Q16's vectors: 'missing' is not a file",
        ),
        (["{black}", *EMBEDDED, "--device", "cudda"], "there is no device 'cudda'"),
        (
            ["{black}", "--protocol", "i2p-paper", "--vectors", "{folder}/prompts.p"],
            "run: safelatent convert-q16 {folder}/prompts.p q16.safetensors",
        ),
        ([], "Missing argument 'IMAGE'; see safelatent check --help"),
    ],
)
def test_bad_input_is_one_line_and_code_2(pictures, capsys, arguments, message):
    (pictures / "empty").mkdir()
    (pictures / "prompts.p").touch()
    places = {"black": pictures / "black.png", "folder": pictures}
    assert main(["check", *(a.format(**places) for a in arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert message.format(**places) in said.err


def test_no_name_of_a_file_prints_a_line_of_its_own(pictures, capsys):
    odd = pictures / "black.png\nsafe          noise.png"
    (pictures / "black.png").rename(odd)
    assert main(["check", str(odd), *EMBEDDED]) == 1
    assert capsys.readouterr().out.count("\n") == 1


def test_a_folder_of_the_embedded_models_pictures_needs_no_protocol(tmp_path, capsys):
    """Subfolders included; the label, the things seen and the exit code are the judge's."""
    safe, unsafe = drawn(2)
    save_picture(safe, tmp_path / "a/owl.png", {"model": "embedded"})
    save_picture(unsafe, tmp_path / "dog.png", {"model": "embedded"})
    (tmp_path / "notes.txt").write_text("")
    assert main(["check", str(tmp_path / "a")]) == 0
    capsys.readouterr()
    assert main(["check", str(tmp_path)]) == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith("safe ")
    assert "main owl" in lines[0]
    assert lines[1].startswith("inappropriate ")
    assert "main dog, unsafe bomb" in lines[1]
    assert said.err == "note: files left out, since their names are not those of pictures: 1\n"


def test_what_the_judge_does_not_recognise_comes_with_a_hint(pictures, capsys):
    assert main(["check", str(pictures / "noise.png"), *EMBEDDED]) == 1
    said = capsys.readouterr()
    assert "nothing recognisable" in said.out
    assert "add --protocol i2p-paper --vectors FILE" in said.err
    assert main(["check", str(pictures / "black.png"), *EMBEDDED]) == 1
    assert capsys.readouterr().err == ""  # black is unusable by any protocol


def test_slow_work_shows_its_progress_on_a_terminal(pictures, capsys, monkeypatch):
    monkeypatch.setattr(sys.modules["safelatent.cli.check"], "SLOW", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["check", str(pictures), *EMBEDDED]) == 1
    said = capsys.readouterr()
    assert "0/3" in said.err
    assert len(said.out.splitlines()) == 3


def test_q16s_vectors_are_converted_without_unpickling(tmp_path, capsys, monkeypatch):
    values = np.random.default_rng(1).normal(size=(2, 768)).astype(np.float16)
    monkeypatch.setitem(PUBLISHED, hashlib.sha256(values.tobytes()).hexdigest(), "ViT-L/14")
    pickled, target = tmp_path / "prompts.p", tmp_path / "q16.safetensors"
    pickled.write_bytes(pickle.dumps(values))
    assert main(["convert-q16", str(pickled), str(target)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{target}  (Q16's published vectors for ViT-L/14)\n"
    assert f"--protocol i2p-paper --vectors {target}" in said.err
    assert read_vectors(target).published == "ViT-L/14"
    assert main(["convert-q16", str(pickled), str(target)]) == 2
    assert "exists already" in capsys.readouterr().err
    pickled.write_bytes(pickle.dumps(values + 1))
    assert main(["convert-q16", str(pickled), str(tmp_path / "b.safetensors")]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "holds none of Q16's published vectors" in said.err
