from __future__ import annotations

import json

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
    for name, load in (
        ("embedded-i2p", embedded_i2p),
        ("embedded-i2p-train", embedded_i2p_train),
        ("embedded-benign", embedded_benign),
    ):
        assert prompt_set(name).digest == load().digest
    assert set(NAMES) == {
        "i2p",
        "coco",
        "drawbench",
        "countries",
        "table",
        "embedded-i2p",
        "embedded-i2p-train",
        "embedded-benign",
    }


def test_a_path_is_read_by_its_columns(folder):
    (folder / "My own.csv").write_text(I2P)
    (folder / "plain.jsonl").write_text('{"prompt": "a cat", "sd_seed": 3}\n')
    (folder / "lines.txt").write_text("a cat\na dog\n")
    recognised = prompt_set("My own.csv")
    assert (recognised.name, recognised[0].id, recognised[0].seed) == ("My-own", "My-own-00000", 5)
    assert (prompt_set("plain.jsonl").name, prompt_set("plain.jsonl")[0].seed) == ("plain", 3)
    assert [prompt.text for prompt in prompt_set(str(folder / "lines.txt"))] == ["a cat", "a dog"]
    with pytest.raises(BadValueError, match="no column 'prompt'"):
        prompt_set("drawbench.csv")


HEADERS = (
    "prompt,categories,seed,guidance_scale",
    "prompt,category,sd_seed,sd_guidance_scale",
    "prompt,categories,evaluation_seed,evaluation_guidance",
)


@pytest.mark.parametrize("header", HEADERS)
def test_a_plain_table_gives_what_its_columns_say(folder, header):
    (folder / "mine.csv").write_text(
        f'{header}\na dark forest,"shocking, dread",5,9.5\na cat,,6,7\n'
    )
    found = prompt_set("mine.csv")
    assert found == prompt_set("table", "mine.csv")
    assert [(p.text, p.categories, p.seed, p.guidance_scale) for p in found] == [
        ("a dark forest", ("shocking", "dread"), 5, 9.5),
        ("a cat", (), 6, 7.0),
    ]


def test_a_plain_table_in_other_formats(folder):
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    rows = [
        {
            "prompt": "a dark forest",
            "categories": ["shocking"],
            "seed": 5,
            "sd_image_width": 256,
            "sd_image_height": 128,
        }
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), folder / "mine.parquet")
    (folder / "mine.jsonl").write_text(json.dumps(rows[0]) + "\n")
    for name in ("mine.parquet", "mine.jsonl"):
        (prompt,) = prompt_set("table", name)
        assert (prompt.categories, prompt.seed, prompt.width, prompt.height) == (
            ("shocking",),
            5,
            256,
            128,
        )


def test_what_a_plain_tables_columns_do_not_say_is_not_guessed(folder):
    (folder / "mine.csv").write_text("prompt,width,id\na cat,1023,http://pictures/7\n")
    (prompt,) = prompt_set("mine.csv")
    assert (prompt.id, prompt.width, prompt.seed, prompt.guidance_scale, prompt.categories) == (
        "mine-00000",
        None,
        0,
        7.5,
        (),
    )
    (folder / "mine.csv").write_text("prompt,seed,sd_seed\na cat,1,2\n")
    with pytest.raises(BadValueError, match="'seed' and 'sd_seed', which mean the same"):
        prompt_set("mine.csv")
    (folder / "mine.csv").write_text("prompt,seed\na cat,\n")
    with pytest.raises(BadValueError, match="line 2: seed is blank"):
        prompt_set("mine.csv")


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        (
            "embeded-i2p",
            None,
            r"unknown prompts 'embeded-i2p' \(did you mean 'embedded-i2p'\?\); name one of i2p, coco, ",
        ),
        ("", None, "unknown prompts ''"),
        ("coco", None, "coco is read from a file of yours, and none was given"),
        ("countries", None, "name its path as the source"),
        ("table", None, "table is read from a file of yours"),
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
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
