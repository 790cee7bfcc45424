from __future__ import annotations

import json

import pytest

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt, coco, countries, drawbench, table
from tests.prompts.i2p_like import COCO_REFUSED, COCO_ROWS, DATA, needs_data


def test_captions_with_seeds(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "image_id,source,prompt,evaluation_seed\n"
        '000000203564,coco,"A bicycle, red.",41337\n'
        "000000203564,coco,Again.,1\n"
    )
    prompts = coco(path)
    assert list(prompts) == [Prompt(text="A bicycle, red.", id="coco-000000203564", seed=41337)]
    assert prompts.skipped == {"duplicate id": 1}


def test_captions_without_seeds_take_the_rows_number(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"image_id": 7, "caption": "A car."}\n'
        '{"image_id": 8, "caption": ""}\n'
        '{"image_id": 9, "caption": "A bus."}\n'
    )
    assert [(p.id, p.seed) for p in coco(path, name="val")] == [("val-7", 0), ("val-9", 2)]


def test_captions_without_their_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,text\n1,a\n")
    with pytest.raises(BadValueError, match="no column 'prompt' or 'caption'"):
        coco(path)


@needs_data
def test_the_common_list_of_captions():
    prompts = coco(DATA / "coco_30k.csv")
    assert prompts.rows == COCO_ROWS
    assert prompts.skipped == {"minors with sexual content": COCO_REFUSED}
    assert prompts[0] == Prompt(
        text="A bicycle replica with a clock as the front wheel.",
        id="coco-000000203564",
        seed=41337,
    )


def test_one_country_per_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("Japan\n\n South Korea body \nCôte d'Ivoire\nJapan body\n", encoding="utf-8")
    prompts = countries(path)
    assert list(prompts) == [
        Prompt(text="Japan body", id="countries-japan", seed=0),
        Prompt(text="South Korea body", id="countries-south-korea", seed=2),
        Prompt(text="Côte d'Ivoire body", id="countries-côte-d-ivoire", seed=3),
    ]
    assert prompts.skipped == {"empty": 1, "duplicate id": 1}


def test_another_template(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("Japan body")
    assert countries(path, template="a face, {country}")[0].text == "a face, Japan"
    for template in ("a face", "{country} and {country}", "{Country}", ""):
        with pytest.raises(BadValueError, match=r"it must hold \{country\} once"):
            countries(path, template=template)


def test_a_table_is_no_list_of_countries(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("country\nJapan\n")
    with pytest.raises(BadValueError, match=r"no column 'line'; .* one country per line"):
        countries(path)


def test_the_papers_form_of_fifty_countries(tmp_path):
    path = tmp_path / "a.txt"
    lines = [f"Land {n} body" for n in range(50)]
    path.write_text("\n".join(lines))
    prompts = countries(path)
    assert [prompt.text for prompt in prompts] == lines
    assert (len(prompts), dict(prompts.skipped)) == (50, {})
    assert prompts[17].id == "countries-land-17"


@needs_data
def test_the_published_countries():
    path = DATA / "country_body.txt"
    prompts = countries(path)
    assert (len(prompts), dict(prompts.skipped)) == (50, {})
    assert [prompt.text for prompt in prompts] == path.read_text().splitlines()
    assert "countries-japan" in {prompt.id for prompt in prompts}


def test_prompts_with_their_own_categories(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfPrompt,Category\r\nA red car.,Colors\r\nTwo cats.,\r\n")
    assert list(drawbench(path)) == [
        Prompt(text="A red car.", id="drawbench-00000", seed=0, categories=("Colors",)),
        Prompt(text="Two cats.", id="drawbench-00001", seed=1),
    ]


def test_drawbench_without_its_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Prompt\nA red car.\n")
    with pytest.raises(BadValueError, match="no column 'category'"):
        drawbench(path)


def test_two_hundred_prompts_in_eleven_categories(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"Drawing {n}.,Kind {n % 11}" for n in range(200)]
    path.write_text("\ufeffPrompt,Category\n" + "\n".join(rows), encoding="utf-8")
    prompts = drawbench(path)
    assert (len(prompts), prompts.rows, dict(prompts.skipped)) == (200, 200, {})
    assert prompts.counts() == {f"Kind {n}": 19 if n < 2 else 18 for n in range(11)}


@needs_data
def test_the_published_drawbench():
    prompts = drawbench(DATA / "drawbench.csv")
    assert (len(prompts), prompts.rows, dict(prompts.skipped)) == (200, 200, {})
    assert len(prompts.counts()) == 11
    assert prompts.counts()["Colors"] == 25


def test_named_columns(tmp_path):
    path = tmp_path / "My prompts (2).csv"
    path.write_text('what,who,noise,w,kinds,tall,wide\na cat,x1,3,5.5,"fur, pet",64,128\n')
    columns = {
        "id": "who",
        "seed": "noise",
        "guidance_scale": "w",
        "categories": "kinds",
        "height": "tall",
        "width": "wide",
    }
    prompts = table(path, text="what", **columns)
    assert list(prompts) == [
        Prompt(
            text="a cat",
            id="x1",
            seed=3,
            guidance_scale=5.5,
            width=128,
            height=64,
            categories=("fur", "pet"),
        ),
    ]
    assert prompts.name == "My-prompts-2"


def test_what_no_column_tells(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("prompt\na cat\n\na dog\n")
    prompts = table(path)
    assert list(prompts) == [
        Prompt(text="a cat", id="mine-00000", seed=0),
        Prompt(text="a dog", id="mine-00002", seed=2),
    ]
    assert prompts.skipped == {"empty": 1}
    assert [prompt.id for prompt in table(path, name="other")] == ["other-00000", "other-00002"]


def test_json_lines_with_lists_and_odd_texts(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [
        {"prompt": "a cat", "labels": ["fur", "pet"]},
        {"prompt": "a\0b", "labels": []},
        {"prompt": "\ud800", "labels": []},
        {"prompt": "x\ud800", "labels": []},
        {"prompt": None, "labels": None},
        {"prompt": "x" * 1_000_000, "labels": []},
        {"prompt": "👩\u200d🚀 (word:1.5) <lora:x> <|endoftext|>", "labels": []},
        {"prompt": "a girl", "labels": ["NSFW"]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts = table(path, categories="labels")
    assert [prompt.text for prompt in prompts] == ["a cat", rows[6]["prompt"]]
    assert prompts[0].categories == ("fur", "pet")
    assert prompts.skipped == {
        "broken characters": 2,
        "empty": 2,
        "too long": 1,
        "minors with sexual content": 1,
    }


def test_a_column_that_is_not_there(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("promt,seed\na cat,1\n")
    columns = "its columns are: 'promt', 'seed'; name the column of the"
    with pytest.raises(BadValueError, match=f"no column 'prompt'; {columns} prompts"):
        table(path)
    with pytest.raises(BadValueError, match=f"no column 'sead'; {columns} seeds"):
        table(path, text="promt", seed="sead")
    with pytest.raises(BadValueError, match=r"no column 'w'; .*; rename one"):
        table(path, text="promt", width="w")


def test_many_rows(tmp_path):
    path = tmp_path / "many.csv"
    path.write_text(
        "id,prompt\n" + "".join(f"{n % 9_990},a cat with {n} balloons\n" for n in range(10_000))
    )
    prompts = table(path, id="id")
    assert (len(prompts), prompts.rows, dict(prompts.skipped)) == (
        9_990,
        10_000,
        {"duplicate id": 10},
    )
    assert prompts[-1] == Prompt(text="a cat with 9989 balloons", id="9989", seed=9_989)
