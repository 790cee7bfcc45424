from __future__ import annotations

from pathlib import Path

import pytest

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt, countries

DATA = Path(__file__).parents[3] / "shared/data/country_body.txt"


def test_a_country_a_line(tmp_path):
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
    with pytest.raises(BadValueError, match="no column 'line'"):
        countries(path)


@pytest.mark.skipif(not DATA.exists(), reason="the countries are not beside the repository")
def test_the_published_list():
    prompts = countries(DATA)
    assert (len(prompts), dict(prompts.skipped)) == (50, {})
    assert [prompt.text for prompt in prompts] == DATA.read_text().splitlines()
    assert "countries-japan" in {prompt.id for prompt in prompts}
