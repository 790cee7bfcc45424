from __future__ import annotations

import csv
import json

import huggingface_hub
import pytest
from scipy.stats import spearmanr

from safelatent.errors import BadValueError, UnsupportedError
from safelatent.prompts import I2PFacts, Prompt, i2p, i2p_facts, prompt_set
from safelatent.prompts.files import read
from safelatent.prompts.i2p import _is_data_set
from tests.prompts import i2p_like

COLUMNS = list(i2p_like.COLUMNS)
HUB_HEADER = "prompt,categories,sd_seed,sd_guidance_scale,sd_image_width,sd_image_height\n"
FACTS_HEADER = "prompt,categories,hard,inappropriate_percentage,prompt_toxicity\n"
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
        BadValueError, match="has 'evaluation_seed' and 'sd_seed', which mean the same"
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
            r"line 2: unknown category 'violense' \(did you mean 'violence'\?\); I2P's categories",
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
def test_a_value_out_of_range_is_an_error_with_its_place(tmp_path, column, value, message):
    rows = [list(ROWS[0])]
    rows[0][COLUMNS.index(column)] = value
    with pytest.raises(BadValueError, match=message):
        i2p(write(tmp_path / "i2p.csv", rows))


def test_thirty_rows_like_i2ps(tmp_path):
    prompts = i2p(i2p_like.write(tmp_path / "i2p.csv"))
    assert prompts.skipped == i2p_like.SKIPPED
    assert prompts.rows == 30
    assert {prompt.id for prompt in prompts}.isdisjoint({"i2p-00004", "i2p-00024"})
    assert prompts[3].text == 'a "subject",\nin two lines'
    assert (prompts[1].categories, prompts[1].seed) == (("hate", "harassment"), 4_290_749_001)
    assert all(p.hard == (p.published is not None and p.published >= 50) for p in prompts)
    assert {prompt.width for prompt in prompts} == {512, 576}
    authors = i2p(tmp_path / "i2p.csv", settings="authors")
    assert authors.skipped == {k: v for k, v in i2p_like.SKIPPED.items() if k != "no guidance"}
    assert {(p.guidance_scale, p.width, p.height) for p in authors} == {(7.5, 512, 512)}


def test_the_seeds_may_be_in_a_column_of_any_name(tmp_path):
    columns = [{"sd_seed": "my seed"}.get(column, column) for column in COLUMNS]
    path = write(tmp_path / "a.csv", columns=columns)
    assert i2p(path, seed="my seed")[0].seed == 4261553411
    with pytest.raises(BadValueError, match="no column 'sd_seed' or 'evaluation_seed'"):
        i2p(path)
    with pytest.raises(BadValueError, match="no column 'seed'"):
        i2p(path, seed="seed")


@i2p_like.needs_data
@pytest.mark.parametrize(("settings", "unguided"), [("own", 2), ("authors", 0)])
def test_the_published_file(settings, unguided):
    prompts = i2p(i2p_like.DATA / "i2p.csv", settings=settings)
    skipped = {**i2p_like.PUBLISHED_SKIPPED, "no guidance": unguided}
    assert prompts.skipped == {reason: count for reason, count in skipped.items() if count}
    assert prompts.rows == i2p_like.PUBLISHED.rows
    assert "i2p-02260" not in {prompt.id for prompt in prompts}, "the empty one"
    assert all(p.hard == (p.published is not None and p.published >= 50) for p in prompts)
    assert prompts[0].categories == ("violence", "self-harm")
    guidance = 13 if settings == "own" else 7.5
    assert (prompts[0].seed, prompts[0].guidance_scale) == (4261553411, guidance)
    assert any("\n" in prompt.text for prompt in prompts)
    sizes = {(prompt.width, prompt.height) for prompt in prompts}
    assert len(sizes) == (11 if settings == "own" else 1)


def test_all_rows_count_whether_or_not_an_image_is_made_from_them(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        FACTS_HEADER + 'a,"hate, sexual",1,60,0.5\n[withheld],sexual,0,10,0.1\n,sexual,0,20,0.9\n'
    )
    facts = i2p_facts(path)
    labels = {
        "hate": 1,
        "harassment": 0,
        "violence": 0,
        "self-harm": 0,
        "sexual": 3,
        "shocking": 0,
        "illegal activity": 0,
    }
    assert facts == I2PFacts(rows=3, categories=labels, hard=1, toxic=2 / 3, published=30.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FACTS_HEADER, "no row"),
        (FACTS_HEADER + "a,hate,1,,0.5\n", "line 2: inappropriate_percentage is blank"),
        (FACTS_HEADER + "a,hat,1,1,0.5\n", "did you mean 'hate'"),
        ("prompt,categories\na,hate\n", "no column 'hard'"),
    ],
)
def test_what_is_missing_is_an_error(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(BadValueError, match=message):
        i2p_facts(path)


def test_the_facts_of_thirty_rows(tmp_path):
    facts = i2p_facts(i2p_like.write(tmp_path / "i2p.csv"))
    assert facts == i2p_like.FACTS


@i2p_like.needs_data
def test_the_published_facts():
    facts = i2p_facts(i2p_like.DATA / "i2p.csv")
    expected = i2p_like.PUBLISHED
    assert (facts.rows, facts.categories, facts.hard, facts.toxic) == (
        expected.rows,
        expected.categories,
        expected.hard,
        expected.toxic,
    )
    assert round(facts.published, 1) == expected.published


@i2p_like.needs_data
def test_the_published_labels_and_correlation():
    labels, pairs = [], []
    for row in read(i2p_like.DATA / "i2p.csv").rows:
        labels.append(len(row.labels("categories")))
        pairs.append([row.number("prompt_toxicity"), row.number("inappropriate_percentage")])
    assert {n: labels.count(n) for n in set(labels)} == i2p_like.LABELS_PER_ROW
    assert round(spearmanr(pairs).statistic, 3) == i2p_like.SPEARMAN


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """What the Hub was asked for; a small table is what it answers."""
    path = tmp_path / "cached.csv"
    path.write_text(HUB_HEADER + "a dark forest,shocking,5,7,512,512\n")
    asked = []

    def download(*arguments, **options):
        asked.append((arguments, options))
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_the_authors_data_set_is_asked_for_by_its_id(calls):
    prompts = i2p("AIML-TUDA/i2p", revision="abc")
    assert [prompt.text for prompt in prompts] == ["a dark forest"]
    assert prompts[0].id == "i2p-00000"
    assert calls == [
        (("AIML-TUDA/i2p", "i2p_benchmark.csv"), {"repo_type": "dataset", "revision": "abc"})
    ]


def test_another_file_of_another_data_set(calls):
    i2p("owner/name", filename="data/train.csv")
    assert calls == [(("owner/name", "data/train.csv"), {"repo_type": "dataset", "revision": None})]


def test_the_command_lines_name_alone_means_the_authors_data_set(calls):
    assert len(prompt_set("i2p")) == 1
    assert len(prompt_set("i2p", "owner/name")) == 1
    assert [arguments for arguments, _ in calls] == [
        ("AIML-TUDA/i2p", "i2p_benchmark.csv"),
        ("owner/name", "i2p_benchmark.csv"),
    ]


def test_a_path_never_asks_the_hub(calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source in (
        "data/i2p.csv",
        "data/none.parquet",
        "i2p",
        "/absent/i2p",
        "a/b/c",
        tmp_path / "owner",
        "../up",
    ):
        with pytest.raises(BadValueError):
            i2p(source)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner/name").write_text("x")
    assert not _is_data_set("owner/name"), "a file of that name comes first"
    assert calls == []


@pytest.mark.parametrize(
    "error", [OSError("no\nroute to host"), ConnectionError("offline"), ValueError("bad id")]
)
def test_no_hub_is_one_clear_line(monkeypatch, error):
    def download(*arguments, **options):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(
        UnsupportedError,
        match=r"cannot download 'i2p_benchmark\.csv' of the data set 'AIML-TUDA/i2p'",
    ) as caught:
        i2p("AIML-TUDA/i2p")
    assert "\n" not in str(caught.value)
    assert "give its path" in str(caught.value)


def test_the_hubs_own_client_offline():
    """The client itself, which the tests keep offline, and a name that is in no cache."""
    with pytest.raises(
        UnsupportedError,
        match=r"cannot download 'x\.csv' of the data set 'safelatent-tests/absent'",
    ):
        i2p("safelatent-tests/absent", filename="x.csv")
