from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest

from safelatent.errors import BadValueError
from safelatent.prompts import (
    NAMES,
    PUBLISHED,
    embedded_benign,
    embedded_i2p,
    embedded_i2p_train,
    prompt_set,
)
from tests.prompts.i2p_like import COLUMNS, rows
from tests.prompts.i2p_like import write as i2p_write

I2P = (
    "prompt,categories,sd_seed,sd_guidance_scale,sd_image_width,sd_image_height\n"
    "a dark forest,shocking,5,7,512,512\n"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "i2p.csv").write_text(I2P)
    (tmp_path / "coco.csv").write_text("image_id,prompt\n7,A car.\n")
    (tmp_path / "drawbench.csv").write_text("Prompt,Category\nA car.,Colors\n")
    (tmp_path / "countries.txt").write_text("Japan\n")
    (tmp_path / "countries.csv").write_text("country\nJapan\n")
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
        *PUBLISHED,
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
    drawings = prompt_set("drawbench.csv")
    assert (drawings[0].text, drawings[0].categories) == ("A car.", ("Colors",))
    with pytest.raises(BadValueError, match="no column 'prompt'"):
        prompt_set("table", "countries.csv")


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
            r"unknown prompts 'embeded-i2p' \(did you mean 'embedded-i2p'\?\); name one of i2p, ",
        ),
        ("", None, "unknown prompts ''"),
        ("coco", None, "coco is read from a file of yours, and none was given"),
        ("countries", None, "add --source FILE"),
        ("table", None, "table is read from a file of yours"),
        ("embedded-i2p", "x.csv", "'embedded-i2p' takes no source"),
        ("x.csv", "y.csv", "'x.csv' takes no source"),
        ("absent.csv", None, "'absent.csv' is not a file"),
        ("i2p", "absent.csv", "'absent.csv' is not a file"),
        ("i2p.cvs", None, "ends in '.cvs'; prompts are read from .csv, "),
        ("prompts.csv.gz", None, "ends in '.gz'; .*; unpack it"),
    ],
)
def test_what_is_no_set_is_an_error(folder, name, source, message):
    with pytest.raises(BadValueError, match=message):
        prompt_set(name, source)


@pytest.mark.parametrize("columns", [{"text_column": "prompt"}, {"seed_column": "seed"}])
@pytest.mark.parametrize("name", ["i2p", "coco", "drawbench", "countries", "embedded-i2p"])
def test_a_set_with_its_own_columns_takes_no_others(folder, name, columns):
    source = None if name == "embedded-i2p" else "coco.csv"
    message = f"--(text|seed)-column is '(prompt|seed)', and {name} has its own columns"
    with pytest.raises(BadValueError, match=message):
        prompt_set(name, source, **columns)


def write(path, header, *rows, separator=","):
    """Write a table whose cells need no quotes."""
    lines = (separator.join(cells) for cells in (header, *rows))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_table_with_a_benign_twin_of_each_prompt(folder):
    """The columns of Ring-A-Bell: the twin is neither read nor proposed."""
    path = write(folder / "a.csv", ("sensitive prompt", "normal prompt"), ("a storm", "a breeze"))
    with pytest.raises(BadValueError, match="has no column 'prompt'; its columns are:") as caught:
        prompt_set("a.csv")
    assert "did you mean" not in str(caught.value)
    assert str(caught.value).endswith(
        "'sensitive prompt', 'normal prompt'; name the column of the prompts with --text-column or,"
        " for a command without that option, rename it to 'prompt'"
    )
    found = prompt_set(str(path), text_column="sensitive prompt")
    assert [(p.text, p.seed, p.id) for p in found] == [("a storm", 0, "a-00000")]
    assert prompt_set("table", path, text_column="Sensitive Prompt") == found
    with pytest.raises(BadValueError, match="has no column 'sensitive promt'") as caught:
        prompt_set("a.csv", text_column="sensitive promt")
    assert "did you mean" not in str(caught.value)


def test_i2ps_columns_with_a_number_of_each_case(folder):
    """The columns of UnlearnDiffAtk, with an index without a name."""
    header = ("", *COLUMNS, "case_number")
    other = {"sd_seed": "evaluation_seed", "sd_guidance_scale": "evaluation_guidance"}
    with (folder / "a.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([other.get(column, column) for column in header])
        writer.writerows(
            [n, *(row[column] for column in COLUMNS), 7 * n] for n, row in enumerate(rows())
        )
    found = prompt_set("a.csv")
    expected = prompt_set("i2p", i2p_write(folder / "i2p.csv"))
    assert [p.seed for p in found] == [p.seed for p in expected]
    assert [p.published for p in found] == [p.published for p in expected]
    assert found.skipped == expected.skipped
    assert [p.seed for p in prompt_set("a.csv", seed_column="case_number")][:3] == [0, 7, 14]


def test_a_column_of_seeds_that_is_not_there(folder):
    for path in (folder / "i2p.csv", folder / "coco.csv"):
        with pytest.raises(BadValueError, match=r"no column 'case'; .* seeds with --seed-column"):
            prompt_set(str(path), seed_column="case")


def test_what_was_published_belongs_to_the_text_it_was_published_for(folder):
    """Other texts in a table with I2P's columns keep its settings and lose its results."""
    with (folder / "a.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, (*COLUMNS, "adv_prompt"))
        writer.writeheader()
        writer.writerows(row | {"adv_prompt": f"other {n}"} for n, row in enumerate(rows()))
    own, other = prompt_set("a.csv")[1], prompt_set("a.csv", text_column="adv_prompt")[1]
    assert (own.text, other.text) == ("subject 1", "other 1")
    assert (other.seed, other.guidance_scale, other.width, other.height, other.categories) == (
        own.seed,
        own.guidance_scale,
        own.width,
        own.height,
        own.categories,
    )
    assert None not in (own.hard, own.published, own.toxicity)
    assert (other.hard, other.published, other.toxicity) == (None, None, None)


@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=repr)
def test_several_texts_per_row_and_any_separator(folder, separator):
    """The columns of MMA-Diffusion."""
    header = ("target_prompt", "adv_prompt", "sanitized_adv_prompt", "clean_prompt")
    texts = ("a storm", "storm ~~ x_x", "storm x", "a breeze")
    write(folder / "a.csv", header, texts, separator=separator)
    for column, text in zip(header, texts, strict=True):
        assert prompt_set("a.csv", text_column=column)[0].text == text
    with pytest.raises(BadValueError, match="has no column 'prompt'; its columns are: 'target_pro"):
        prompt_set("a.csv")


def test_captions_in_parquet(folder):
    """The columns of CoProV2."""
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    table = {"caption": ["a storm", "a sea"], "toxicity": [True, False], "seed": [5, 6]}
    parquet.write_table(arrow.table(table), folder / "a.parquet")
    found = prompt_set("a.parquet", text_column="caption", seed_column="seed")
    assert [(p.text, p.seed) for p in found] == [("a storm", 5), ("a sea", 6)]
    with pytest.raises(BadValueError, match="row 1: toxicity is 'True'; it must be a whole"):
        prompt_set("a.parquet", text_column="caption", seed_column="toxicity")


def test_lists_in_json(folder):
    """The forms of T2I-RiskyPrompt and T2ISafety."""
    items = [{"id": 1, "text": "a storm", "labels": [3]}, {"id": 2, "text": "a sea", "labels": []}]
    (folder / "a.json").write_text(json.dumps(items))
    found = prompt_set("a.json", text_column="text", seed_column="id")
    assert [(p.text, p.seed) for p in found] == [("a storm", 1), ("a sea", 2)]
    (folder / "b.json").write_text(json.dumps([item["text"] for item in items]))
    assert [p.text for p in prompt_set("b.json")] == ["a storm", "a sea"]


def test_two_columns_of_seeds_are_settled_by_naming_one(folder):
    header = ("prompt", "seed", "sd_seed", "Evaluation Seed")
    write(folder / "a.csv", header, ("a cat", "1", "2", "3"))
    with pytest.raises(BadValueError, match="which mean the same"):
        prompt_set("a.csv")
    for column, seed in (("seed", 1), ("sd_seed", 2), ("evaluation_seed", 3)):
        assert prompt_set("a.csv", seed_column=column)[0].seed == seed


def test_names_of_columns_in_other_spellings_are_not_passed_over(folder):
    write(folder / "a.csv", ("Prompt", " SEED", "Guidance Scale"), ("a cat", "4", "9"))
    (prompt,) = prompt_set("a.csv")
    assert (prompt.seed, prompt.guidance_scale) == (4, 9.0)


def test_lines_of_text_have_one_column(folder):
    (folder / "a.txt").write_text("a;b\nc\td\n")
    assert [p.text for p in prompt_set("a.txt")] == ["a;b", "c\td"]
    with pytest.raises(BadValueError, match="no column 'prompt'; its columns are: 'line'"):
        prompt_set("a.txt", text_column="prompt")


def test_nothing_heavy_is_imported_for_it():
    modules = ("torch", "numpy", "pyarrow", "huggingface_hub")
    code = f"import sys, safelatent.prompts; print([m for m in {modules} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
