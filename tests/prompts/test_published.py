"""Attack and over-refusal sets, as they are published."""

from __future__ import annotations

import pytest

from safelatent.cli import main
from safelatent.errors import BadValueError
from safelatent.prompts import HARMLESS, PUBLISHED, is_harmless, prompt_set
from safelatent.prompts.prompt import MINORS
from safelatent.prompts.published import LAYOUTS
from tests.prompts import i2p_like
from tests.prompts.published_layouts import CAPTIONS, CSV, JSON, write


@pytest.mark.parametrize(
    ("name", "text", "categories"),
    [
        ("ring-a-bell", "rain ~ storm wings", ("sexual",)),
        ("mma-diffusion", "storm ~~ x_x", ("sexual",)),
        ("p4d", "wings thunder", ("sexual",)),
        ("overt", "a chess player who attacks the king", (HARMLESS, "looks like violence")),
        ("overt-unsafe", "a storm over a village", ("illegal activity",)),
        ("t2i-risky-prompt", "a storm", ("violence",)),
        ("t2isafety", "a storm over a hill", ("harassment",)),
    ],
)
def test_a_set_is_read_as_it_is_published(tmp_path, name, text, categories):
    found = prompt_set(name, write(tmp_path, name))
    assert (found.name, found[0].id) == (name, f"{name}-00000")
    assert (found[0].text, found[0].categories) == (text, categories)
    assert found.rows == len((CSV | JSON)[name])
    assert is_harmless(found[0]) == LAYOUTS[name].harmless
    assert found.digest == prompt_set(name, tmp_path / write(tmp_path, name).name).digest


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("ring-a-bell", ["a calm sea", "a quiet lake"]),
        ("mma-diffusion", ["a breeze over a lake"]),
    ],
)
def test_the_benign_twins_are_an_over_refusal_set(tmp_path, name, texts):
    found = prompt_set(f"{name}-benign", write(tmp_path, name))
    assert [prompt.text for prompt in found] == texts
    assert {prompt.categories for prompt in found} == {(HARMLESS,)}


def test_seeds_and_scales_are_the_rows_own_where_the_file_has_them(tmp_path):
    found = prompt_set("p4d", write(tmp_path, "p4d"))
    assert [(p.seed, p.guidance_scale) for p in found] == [(41, 7.0), (7, 11.5)]
    found = prompt_set("ring-a-bell", write(tmp_path, "ring-a-bell"))
    assert [(p.seed, p.guidance_scale) for p in found] == [(0, 7.5), (1, 7.5)]


def test_labels_that_mean_none_of_i2ps_stay_as_they_are(tmp_path):
    found = prompt_set("t2i-risky-prompt", write(tmp_path, "t2i-risky-prompt"))
    assert found[1].categories == ("shocking", "copyright——logo")
    found = prompt_set("t2isafety", write(tmp_path, "t2isafety"))
    assert found[1].categories == ("public figures",)
    found = prompt_set("overt", write(tmp_path, "overt"))
    assert found[1].categories == (HARMLESS, "looks like privacy_public")


def test_unlearn_diff_atk_has_i2ps_columns(tmp_path):
    file = i2p_like.write(tmp_path / "nudity.csv")
    found, same = prompt_set("unlearn-diff-atk", file), prompt_set("i2p", file)
    assert found[0].id.startswith("unlearn-diff-atk-")
    assert [p.seed for p in found] == [p.seed for p in same]
    assert [p.categories for p in found] == [p.categories for p in same]


def test_coprov2_is_parquet(tmp_path):
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    parquet.write_table(arrow.table(CAPTIONS), tmp_path / "a.parquet")
    found = prompt_set("coprov2", tmp_path / "a.parquet")
    assert [(p.text, p.categories) for p in found] == [("a storm", ()), ("a breeze", ())]
    labelled = CAPTIONS | {"category": ["hate", "Illegal activity"]}
    parquet.write_table(arrow.table(labelled), tmp_path / "b.parquet")
    found = prompt_set("coprov2", tmp_path / "b.parquet")
    assert [p.categories for p in found] == [("hate",), ("illegal activity",)]


def test_no_prompt_combines_minors_with_sexual_content(tmp_path):
    """Where every prompt of a file is about nudity, any word for a minor is enough, however the
    sexual words are disguised; also where a harmless prompt only sounds like it.
    """
    assert prompt_set("overt", write(tmp_path, "overt")).skipped == {MINORS: 1}
    for name in ("ring-a-bell", "mma-diffusion", "p4d"):
        row = dict.fromkeys(CSV[name][0], "1") | {LAYOUTS[name].text[0]: "a girl ~ x_x"}
        kept = CSV[name][0]
        found = prompt_set(name, write(tmp_path, name, [kept, row]))
        assert (len(found), found.skipped) == (1, {MINORS: 1})


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "unlearn-diff-atk"])
def test_another_file_is_one_clear_line(tmp_path, capsys, name):
    (tmp_path / "a.csv").write_text("text,other\na cat,1\n")
    with pytest.raises(BadValueError, match=f"has no column .*; give {name}'s file as it is"):
        prompt_set(name, tmp_path / "a.csv")
    command = ["bench", "run", name, "--source", str(tmp_path / "a.csv"), "--out", str(tmp_path)]
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(BadValueError, match=f"{name} is read from a file of yours"):
        prompt_set(name)
    with pytest.raises(BadValueError, match=f"--text-column is 'x', and {name} has its own"):
        prompt_set(name, tmp_path / "a.csv", text_column="x")


def test_a_label_that_is_no_name_is_an_error_with_its_place(tmp_path):
    rows = [JSON["t2i-risky-prompt"][0], {"prompt": "a sea", "label": 7}]
    with pytest.raises(BadValueError, match="item 2: label is 7; it must be text"):
        prompt_set("t2i-risky-prompt", write(tmp_path, "t2i-risky-prompt", rows))
