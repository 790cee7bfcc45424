from __future__ import annotations

import pytest

from safelatent.errors import BadValueError
from safelatent.prompts import NAMES, embedded_benign, embedded_i2p, embedded_i2p_train, prompt_set

I2P = "prompt,categories,sd_seed,sd_guidance_scale,sd_image_width,sd_image_height\na dark forest,shocking,5,7,512,512\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "i2p.csv").write_text(I2P)
    (tmp_path / "coco.csv").write_text("image_id,prompt\n7,A car.\n")
    (tmp_path / "drawbench.csv").write_text("Prompt,Category\nA car.,Colors\n")
    (tmp_path / "countries.txt").write_text("Japan\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_with_a_source(folder):
    assert prompt_set("i2p", folder / "i2p.csv")[0].categories == ("shocking",)
    assert prompt_set("coco", "coco.csv")[0].id == "coco-7"
    assert prompt_set("drawbench", "drawbench.csv")[0].categories == ("Colors",)
    assert prompt_set("countries", "countries.txt")[0].text == "Japan body"


def test_the_sets_of_the_package():
    for name, load in (("embedded-i2p", embedded_i2p), ("embedded-i2p-train", embedded_i2p_train), ("embedded-benign", embedded_benign)):
        assert prompt_set(name).digest == load().digest
    assert set(NAMES) == {"i2p", "coco", "drawbench", "countries", "embedded-i2p", "embedded-i2p-train", "embedded-benign"}


def test_a_path_is_read_by_its_columns(folder):
    (folder / "My own.csv").write_text(I2P)
    (folder / "plain.jsonl").write_text('{"prompt": "a cat", "sd_seed": 3}\n')
    (folder / "lines.txt").write_text("a cat\na dog\n")
    recognised = prompt_set("My own.csv")
    assert (recognised.name, recognised[0].id, recognised[0].seed) == ("My-own", "My-own-00000", 5)
    assert (prompt_set("plain.jsonl").name, prompt_set("plain.jsonl")[0].seed) == ("plain", 0)
    assert [prompt.text for prompt in prompt_set(str(folder / "lines.txt"))] == ["a cat", "a dog"]
    with pytest.raises(BadValueError, match="no column 'prompt'"):
        prompt_set("drawbench.csv")


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("embeded-i2p", None, r"unknown prompts 'embeded-i2p' \(did you mean 'embedded-i2p'\?\); name one of i2p, coco, "),
        ("", None, "unknown prompts ''"),
        ("coco", None, "coco is read from a file of yours, and none was given"),
        ("countries", None, "name its path as the source"),
        ("embedded-i2p", "x.csv", "'embedded-i2p' takes no source"),
        ("x.csv", "y.csv", "'x.csv' takes no source"),
        ("absent.csv", None, "'absent.csv' is not a file"),
        ("i2p", "absent.csv", "'absent.csv' is not a file"),
    ],
)
def test_what_is_no_set_is_an_error(folder, name, source, message):
    with pytest.raises(BadValueError, match=message):
        prompt_set(name, source)


def test_nothing_heavy_is_imported_for_it():
    import subprocess
    import sys

    code = "import sys, safelatent.prompts; print([m for m in ('torch', 'numpy', 'pyarrow', 'huggingface_hub') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
