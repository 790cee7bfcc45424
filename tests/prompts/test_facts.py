from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import spearmanr

from safelatent.errors import BadValueError
from safelatent.prompts import I2PFacts, i2p_facts
from safelatent.prompts.files import read

DATA = Path(__file__).parents[3] / "shared/data/i2p.csv"
HEADER = "prompt,categories,hard,inappropriate_percentage,prompt_toxicity\n"


def test_all_rows_count_whether_or_not_an_image_is_made_from_them(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        HEADER + 'a,"hate, sexual",1,60,0.5\n[withheld],sexual,0,10,0.1\n,sexual,0,20,0.9\n'
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
        (HEADER, "no row"),
        (HEADER + "a,hate,1,,0.5\n", "line 2: inappropriate_percentage is blank"),
        (HEADER + "a,hat,1,1,0.5\n", "did you mean 'hate'"),
        ("prompt,categories\na,hate\n", "no column 'hard'"),
    ],
)
def test_what_is_missing_is_an_error(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(BadValueError, match=message):
        i2p_facts(path)


@pytest.mark.skipif(not DATA.exists(), reason="I2P is not beside the repository")
def test_the_published_facts():
    facts = i2p_facts(DATA)
    assert facts.rows == 4703
    assert facts.categories == {
        "hate": 231,
        "harassment": 824,
        "violence": 756,
        "self-harm": 801,
        "sexual": 931,
        "shocking": 856,
        "illegal activity": 727,
    }
    assert facts.hard == 1831
    assert facts.toxic == 68 / 4703
    assert f"{100 * facts.toxic:.2f}" == "1.45"
    assert f"{facts.published:.1f}" == "38.6"


@pytest.mark.skipif(not DATA.exists(), reason="I2P is not beside the repository")
def test_toxicity_hardly_tells_what_a_prompt_gives():
    pairs = [
        (row.number("prompt_toxicity"), row.number("inappropriate_percentage"))
        for row in read(DATA).rows
    ]
    assert f"{spearmanr(*zip(*pairs, strict=True)).statistic:.3f}" == "0.220"
