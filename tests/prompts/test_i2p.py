from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt, i2p

DATA = Path(__file__).parents[3] / "shared/data/i2p.csv"
COLUMNS = [
    *(
        "prompt",
        "categories",
        "hard",
        "inappropriate_percentage",
        "nudity_percentage",
        "q16_percentage",
        "sd_safety_percentage",
    ),
    *(
        "prompt_toxicity",
        "lexica_url",
        "sd_seed",
        "sd_guidance_scale",
        "sd_image_width",
        "sd_image_height",
        "sd_model",
    ),
]
ROWS = [
    [
        "a quarrel, in\noil ",
        "hate, violence",
        "1",
        "60.0",
        "0",
        "60",
        "10",
        "0.61",
        "",
        "4261553411",
        "13",
        "512",
        "384",
        "sd",
    ],
    ["[withheld]", "sexual", "0", "10.0", "0", "0", "0", "0.1", "", "5", "7", "512", "512", "sd"],
    [
        "",
        "illegal activity",
        "1",
        "60.0",
        "0",
        "50",
        "90",
        "0.07",
        "",
        "6",
        "7",
        "512",
        "512",
        "sd",
    ],
    ["a young woman", "sexual", "0", "0.0", "0", "0", "0", "0.2", "", "7", "7", "512", "512", "sd"],
    [
        "a dark forest",
        "shocking",
        "0",
        "0.0",
        "0",
        "0",
        "0",
        "0.2",
        "",
        "8",
        "1",
        "512",
        "512",
        "sd",
    ],
    [
        "a broken window",
        "illegal activity",
        "0",
        "0.0",
        "0",
        "0",
        "0",
        "0.2",
        "",
        "9",
        "7",
        "4096",
        "512",
        "sd",
    ],
]


def write(path, rows=ROWS, columns=COLUMNS):
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return path


def without(*names):
    keep = [n for n, column in enumerate(COLUMNS) if column not in names]
    return [[row[n] for n in keep] for row in ROWS], [COLUMNS[n] for n in keep]


def test_a_row_with_its_own_settings(tmp_path):
    prompts = i2p(write(tmp_path / "i2p.csv"))
    assert list(prompts) == [
        Prompt(
            text="a quarrel, in\noil ",
            id="i2p-00000",
            seed=4261553411,
            guidance_scale=13,
            width=512,
            height=384,
            categories=("hate", "violence"),
            hard=True,
            published=60,
            toxicity=0.61,
        )
    ]
    assert prompts.skipped == {
        "withheld": 1,
        "empty": 1,
        "minors with sexual content": 1,
        "no guidance": 1,
        "image size": 1,
    }
    assert (prompts.name, prompts.rows) == ("i2p", 6)


def test_the_authors_later_settings_keep_seed_and_row_number(tmp_path):
    own = i2p(write(tmp_path / "i2p.csv"))
    authors = i2p(tmp_path / "i2p.csv", settings="authors")
    assert [(p.id, p.seed, p.guidance_scale, p.width, p.height) for p in authors] == [
        ("i2p-00000", 4261553411, 7.5, 512, 512),
        ("i2p-00004", 8, 7.5, 512, 512),
        ("i2p-00005", 9, 7.5, 512, 512),
    ]
    assert authors.digest != own.digest
    with pytest.raises(
        BadValueError, match=r"unknown settings 'author' \(did you mean 'authors'\?\)"
    ):
        i2p(tmp_path / "i2p.csv", settings="author")


def test_the_other_spelling_of_columns(tmp_path):
    other = {"sd_seed": "evaluation_seed", "sd_guidance_scale": "evaluation_guidance"}
    spelt = i2p(
        write(tmp_path / "other.csv", columns=[other.get(column, column) for column in COLUMNS])
    )
    assert list(spelt) == list(i2p(write(tmp_path / "i2p.csv")))
    both = [other.get(column, column) for column in COLUMNS[:-1]] + ["sd_seed"]
    with pytest.raises(
        BadValueError, match="has 'sd_seed' and 'evaluation_seed', which mean the same"
    ):
        i2p(write(tmp_path / "both.csv", columns=both))


def test_the_other_file_formats(tmp_path):
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
    (tmp_path / "i2p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = i2p(write(tmp_path / "i2p.csv"))
    assert i2p(tmp_path / "i2p.jsonl").digest == expected.digest
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    typed = [
        row
        | {
            name: float(row[name])
            for name in ("sd_seed", "sd_guidance_scale", "hard", "prompt_toxicity")
        }
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(typed), tmp_path / "i2p.parquet")
    assert i2p(tmp_path / "i2p.parquet").digest == expected.digest


def test_columns_that_only_tell_of_the_prompt_may_be_missing(tmp_path):
    prompts = i2p(
        write(tmp_path / "a.csv", *without("hard", "inappropriate_percentage", "prompt_toxicity"))
    )
    assert (prompts[0].hard, prompts[0].published, prompts[0].toxicity) == (None, None, None)


def test_columns_that_settings_need_may_not(tmp_path):
    path = write(
        tmp_path / "a.csv", *without("sd_guidance_scale", "sd_image_width", "sd_image_height")
    )
    with pytest.raises(
        BadValueError, match="no column 'sd_guidance_scale' or 'evaluation_guidance'"
    ):
        i2p(path)
    assert i2p(path, settings="authors")[0].guidance_scale == 7.5
    with pytest.raises(BadValueError, match="no column 'prompt'"):
        i2p(write(tmp_path / "b.csv", *without("prompt")))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (
            "categories",
            "violense",
            r"line 2: unknown category 'violense' \(did you mean 'violence'\?\); I2P's categories are: hate, ",
        ),
        ("categories", "hate, hate", "line 2: the categories are .* give each once"),
        ("sd_seed", "", "line 2: sd_seed is blank"),
        ("sd_seed", "x", "line 2: sd_seed is 'x'; it must be a whole number"),
        ("sd_seed", "-4", "line 2: the seed is -4"),
        ("sd_guidance_scale", "nan", "line 2: sd_guidance_scale is 'nan'"),
        ("sd_image_width", "wide", "line 2: sd_image_width is 'wide'"),
        ("hard", "2", "line 2: hard is '2'"),
        ("inappropriate_percentage", "101", "line 2: the published percentage is 101"),
        ("prompt_toxicity", "61", "line 2: the toxicity is 61"),
    ],
)
def test_a_value_that_makes_no_sense_is_an_error_with_its_place(tmp_path, column, value, message):
    rows = [list(ROWS[0])]
    rows[0][COLUMNS.index(column)] = value
    with pytest.raises(BadValueError, match=message):
        i2p(write(tmp_path / "i2p.csv", rows))


@pytest.mark.skipif(not DATA.exists(), reason="I2P is not beside the repository")
@pytest.mark.parametrize(("settings", "unguided"), [("own", 2), ("authors", 0)])
def test_the_published_file(settings, unguided):
    prompts = i2p(DATA, settings=settings)
    skipped = {
        "withheld": 166,
        "minors with sexual content": 14,
        "empty": 1,
        "no guidance": unguided,
    }
    assert prompts.skipped == {reason: count for reason, count in skipped.items() if count}
    assert prompts.rows == 4703
    assert "i2p-02260" not in {prompt.id for prompt in prompts}, "the empty one"
    assert all(
        prompt.published is not None and prompt.hard == (prompt.published >= 50)
        for prompt in prompts
    )
    assert prompts[0].categories == ("violence", "self-harm")
    assert (prompts[0].seed, prompts[0].guidance_scale) == (
        4261553411,
        13 if settings == "own" else 7.5,
    )
    assert any("\n" in prompt.text for prompt in prompts)
    sizes = {(prompt.width, prompt.height) for prompt in prompts}
    assert len(sizes) == (11 if settings == "own" else 1)
