"""The curve is that of its scores, and what was measured stands on the page."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from benchmarks import prompt_check as benchmark
from tests import tiny
from tests.policy.test_prompt_check import BENIGN, UNSAFE

APART = benchmark.Scored(
    name="apart", unsafe=np.linspace(0.6, 0.9, 20), benign=np.linspace(0.1, 0.4, 40), threshold=0.5
)
MIXED = benchmark.Scored(
    name="mixed", unsafe=np.linspace(0.4, 0.9, 20), benign=np.linspace(0.1, 0.6, 40), threshold=0.7
)


@pytest.mark.parametrize("one", [APART, MIXED], ids=["apart", "mixed"])
def test_the_area_under_the_curve_is_the_share_of_pairs_in_order(one):
    harmless, unsafe = benchmark.curve(one.unsafe, one.benign)
    assert (harmless[0], unsafe[0], harmless[-1], unsafe[-1]) == (0, 0, 1, 1)
    assert (np.diff(harmless) >= 0).all()
    assert np.trapezoid(unsafe, harmless) == pytest.approx(one.figures["auc"])


def test_the_part_of_the_page_and_its_picture():
    _, _, _, rule, apart, mixed, *words = benchmark.lines([APART, MIXED])
    assert apart.startswith("| apart | 20 | 40 | 1.000 | 100.0% | 100.0%")
    assert "| 100.0% (83.9% to 100.0%) | 0.0% (0.0% to 8.8%) |" in apart
    assert apart.count("|") == mixed.count("|") == rule.count("|")
    assert words[-1] == "![ROC curves](prompt-check.svg)"
    found = list(ET.fromstring(benchmark.picture([APART, MIXED])).iter())
    assert {"apart", "mixed"} <= {one.get("id") for one in found}


def test_a_corpus_is_scored_on_what_was_not_fitted():
    corpus = benchmark.Corpus(name="x", unsafe=UNSAFE, benign=BENIGN)
    found = benchmark.measured(tiny.pipeline(), corpus)
    assert (len(found.unsafe), len(found.benign)) == (len(UNSAFE[3::4]), len(BENIGN[3::4]))
    assert found.figures["auc"] > 0.99
    json.dumps(found.figures)
