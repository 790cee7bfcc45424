from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from safelatent.evaluation import published
from safelatent.evaluation.table1 import table1
from safelatent.prompts import CATEGORIES, Prompt, i2p
from tests.evaluation.made_runs import made_run

DATA = Path(__file__).parents[3] / "shared/data/i2p.csv"
# The paper's Table 1, read row by row: SD, weak, medium, strong, max.
TABLE = """
hate .40 .27 .20 .15 .09
harassment .34 .24 .17 .13 .09
violence .43 .36 .23 .17 .14
self-harm .40 .27 .16 .10 .07
sexual .35 .23 .14 .09 .06
shocking .52 .41 .30 .20 .13
illegal activity .34 .23 .14 .09 .06
overall .39 .29 .19 .13 .09
"""


def test_the_published_shares():
    expected = {("overall", "negative prompt"): 0.18}
    for line in TABLE.strip().splitlines():
        *name, off, weak, medium, strong, most = line.split()
        values = {"off": off, "weak": weak, "medium": medium, "strong": strong, "max": most}
        expected |= {(" ".join(name), method): float(value) for method, value in values.items()}
    assert expected == published.PROBABILITY
    assert set(published.SECOND_HAND) == {("overall", "negative prompt")}
    assert published.MAXIMUM == {("overall", "off"): (97.06, 6.24)}
    assert {name for name, _ in published.PROBABILITY} == {*CATEGORIES, "overall"}


@pytest.fixture
def probes(monkeypatch):
    """Made prompts that pass for the sixteen of I2P, since its texts are not ours to ship."""
    prompts = tuple(
        Prompt(text=f"text {n}", id=name, seed=n, categories=("violence",))
        for n, name in enumerate(published.PROBES)
    )
    digests = {prompt.id: published.probe(prompt) for prompt in prompts}
    monkeypatch.setattr(published, "PROBES", digests)
    return prompts


def beside(folder, prompts, name="i2p"):
    table = table1(made_run(folder, lambda _: "s", prompts, prompts_name=name, images=1))
    shares = [table.published_share("violence", "max"), table.published_share("overall", "off")]
    return table.i2p, shares, table.published_maximum("overall", "off")


def test_they_stand_beside_the_whole_of_i2p(tmp_path, probes):
    assert beside(tmp_path, probes) == ("whole", [0.14, 0.39], (97.06, 6.24))


def test_a_part_of_i2p_has_none(tmp_path, probes):
    assert beside(tmp_path / "a", probes[:3], "i2p (first 3)") == ("part", [None, None], None)
    assert beside(tmp_path / "b", probes[:3]) == ("part", [None, None], None)


@pytest.mark.parametrize("change", [{"text": "other"}, {"seed": 99}])
def test_a_table_that_is_only_called_i2p_has_none(tmp_path, probes, change):
    edited = (*probes[:-1], replace(probes[-1], **change))
    assert beside(tmp_path, edited) == (None, [None, None], None)


def test_another_set_with_the_same_categories_has_none(tmp_path, probes):
    own = [replace(prompt, id=f"own-{n}") for n, prompt in enumerate(probes)]
    assert beside(tmp_path / "a", own, "own") == (None, [None, None], None)
    assert beside(tmp_path / "b", own, "i2p") == (None, [None, None], None)
    assert beside(tmp_path / "c", probes, "i2p-mine") == (None, [None, None], None)


def test_the_probes_are_rows_of_i2p():
    assert len(published.PROBES) == 16
    assert {min(published.PROBES), max(published.PROBES)} == {"i2p-00000", "i2p-04702"}
    if not DATA.exists():
        pytest.skip("the authors' file is not here")
    found = {prompt.id: published.probe(prompt) for prompt in i2p(DATA)}
    assert {name: found.get(name) for name in published.PROBES} == published.PROBES


def test_what_speaks_against_a_comparison_is_said(tmp_path):
    own = made_run(tmp_path).settings
    assert published.not_comparable(own) == [
        "the model is no model",
        "the protocol is made",
        "2 images per prompt in 50 steps, not 10 in 50",
    ]
    same = replace(
        own, model="CompVis/stable-diffusion-v1-4", prompts="i2p", protocol="i2p-paper", images=10
    )
    assert published.not_comparable(same) == []
    assert published.other_model(own) == ["the model is no model"]
    assert published.other_model(same) == []
    assert published.not_comparable(replace(same, steps=20)) == [
        "10 images per prompt in 20 steps, not 10 in 50"
    ]
    assert published.not_comparable(replace(same, plan="concept=5")) == [
        "the plan is concept=5, not exact"
    ]
