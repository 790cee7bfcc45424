from __future__ import annotations

import json

import pytest

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt, table


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
    with pytest.raises(
        BadValueError,
        match=r"no column 'prompt' \(did you mean 'promt'\?\); its columns are: 'promt', 'seed'",
    ):
        table(path)
    with pytest.raises(BadValueError, match=r"no column 'sead' \(did you mean 'seed'\?\)"):
        table(path, text="promt", seed="sead")


def test_many_rows(tmp_path):
    path = tmp_path / "many.csv"
    path.write_text(
        "id,prompt\n" + "".join(f"{n % 49_990},a cat with {n} balloons\n" for n in range(50_000))
    )
    prompts = table(path, id="id")
    assert (len(prompts), prompts.rows, dict(prompts.skipped)) == (
        49_990,
        50_000,
        {"duplicate id": 10},
    )
    assert prompts[-1] == Prompt(text="a cat with 49989 balloons", id="49989", seed=49_989)
