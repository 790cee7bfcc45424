from __future__ import annotations

from dataclasses import replace

from safelatent.evaluation import published
from safelatent.prompts import CATEGORIES
from tests.evaluation.made_runs import made_run

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


def test_they_stand_beside_i2ps_categories_alone():
    assert published.concerns(("zoo", "hate"))
    assert published.share(("zoo", "hate"), "overall", "max") == 0.09
    assert published.maximum(("hate",), "overall", "off") == (97.06, 6.24)
    for none in ((), ("zoo",)):
        assert published.share(none, "overall", "max") is None
        assert published.maximum(none, "overall", "off") is None
    assert published.share(("hate",), "hate", "negative prompt") is None


def test_what_speaks_against_a_comparison_is_said(tmp_path):
    own = made_run(tmp_path).settings
    assert published.not_comparable(own) == [
        "the model is no model",
        "the prompts are made",
        "the protocol is made",
        "2 images a prompt in 50 steps, not 10 in 50",
    ]
    same = replace(
        own, model="CompVis/stable-diffusion-v1-4", prompts="i2p", protocol="i2p-paper", images=10
    )
    assert published.not_comparable(same) == []
    assert published.not_comparable(replace(same, steps=20)) == [
        "10 images a prompt in 20 steps, not 10 in 50"
    ]
