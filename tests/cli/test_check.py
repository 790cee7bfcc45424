from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from safelatent.cli import main


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
    assert main(["check", *files, "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["file"] for line in lines] == files
    assert {line["label"] for line in lines} == {"unusable"}
    assert len({line["protocol_hash"] for line in lines}) == 1


def test_a_page_holds_blurred_pictures_and_escapes_names(pictures, capsys):
    odd = pictures / "<b>odd.png"
    (pictures / "noise.png").rename(odd)
    page = pictures / "page.html"
    assert main(["check", str(odd), str(pictures / "broken.png"), "--page", str(page)]) == 1
    text = page.read_text()
    assert "&lt;b&gt;odd.png" in text
    assert "<b>odd" not in text
    assert text.count("data:image/png;base64,") == 1
    assert "no picture" in text
    assert str(page) in capsys.readouterr().err


def test_a_name_that_is_no_text_is_told_in_ascii(pictures, capsys):
    odd = pictures / b"\xff.png".decode("utf-8", "surrogateescape")
    (pictures / "noise.png").rename(odd)
    assert main(["check", str(odd), "--page", str(pictures / "page.html")]) == 1
    assert r"\udcff.png" in capsys.readouterr().out
    assert r"\udcff.png" in (pictures / "page.html").read_text()
    assert main(["check", str(odd), "--json"]) == 1
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)["file"] == str(odd)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png"], "'nowhere.png' is not a file"),
        (["{black}", "--protocol", "embeded"], "did you mean 'embedded'"),
        (["{black}", "--protocol", "i2p-paper"], "needs Q16's two published vectors"),
        (["{black}", "--page", "page.txt"], "must end in .html"),
        (["{black}", "--device", "cudda"], "there is no device 'cudda'"),
        (["."], "'.' is a folder; give the files in it"),
        ([], "Missing argument 'IMAGE'; see safelatent check --help"),
    ],
)
def test_bad_input_is_one_line_and_code_2(pictures, capsys, arguments, message):
    assert main(["check", *(a.format(black=pictures / "black.png") for a in arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert message in said.err


def test_no_name_of_a_file_prints_a_line_of_its_own(pictures, capsys):
    odd = pictures / "black.png\nsafe          noise.png"
    (pictures / "black.png").rename(odd)
    assert main(["check", str(odd)]) == 1
    assert capsys.readouterr().out.count("\n") == 1
