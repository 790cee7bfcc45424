"""Table 2: the paper's columns, the study's place, the published values beside ours."""

from __future__ import annotations

import pytest

from safelatent.evaluation import published
from safelatent.metrics import Rate
from safelatent.reports.table2 import PreferenceRates, fidelity_tables
from tests.evaluation.made_fidelity import made_fidelity


@pytest.fixture
def tables():
    return fidelity_tables(made_fidelity())


def test_the_columns_are_those_of_the_paper(tables):
    assert tables[0].columns == (
        "image fidelity: FID",
        "image fidelity: preferred",
        "text alignment: CLIP distance",
        "text alignment: preferred",
    )
    assert [name for name, _ in tables[0].lines] == ["off", "medium", "max"]


def test_fid_says_how_many_images_and_how_biased(tables):
    off, medium, strong = (boxes[0] for _, boxes in tables[0].lines)
    assert (off.text, off.value, off.details) == ("12.50", 12.5, ("280 images", "bias about 2.50"))
    assert (medium.text, medium.details) == ("–", ("7 images",))
    assert strong.details == ("100 images", "bias more than 7.00"), "fewer images than features"


def test_published_fids_stand_beside_ours(tables):
    beside = {name: boxes[0].published for name, boxes in tables[0].lines}
    assert beside == {
        name: (f"SD 1.4, COCO-30k: {published.FID[name]:.2f}",) for name in ("off", "medium", "max")
    }


def test_the_study_fills_its_columns():
    share = Rate(value=0.55, low=0.5, high=0.6, n=100)
    given = {"max": PreferenceRates(fidelity=share)}
    lines = dict(fidelity_tables(made_fidelity(), given)[0].lines)
    assert (lines["max"][1].text, lines["max"][1].details) == (
        "55 %",
        ("50 % to 60 %", "100 votes"),
    )
    assert lines["max"][3].text == lines["off"][1].text == "–"


def test_over_suppression_is_a_column_where_prompts_are_harmless(tables):
    assert tables[1].columns[:3] == tuple(
        f"over-suppression: {name}" for name in ("latents", "pixels", "CLIP")
    )
    lines = dict(tables[1].lines)
    assert [box.text for box in lines["medium"]] == ["–", "0.125", "0.250", "–", "–", "–"]
    assert [box.text for box in lines["off"][:3]] == ["–"] * 3
    assert lines["max"][3].details == ("± 0.25",)
    unsafe = fidelity_tables(made_fidelity(benign=False))[1]
    assert unsafe.columns[0] == "change: latents"
    assert [box.text for box in dict(unsafe.lines)["medium"][:3]] == ["0.400", "0.300", "0.500"]
    assert "on harmless prompts it is over-suppression" in unsafe.note
