from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.metrics import mean_by_prompt
from safelatent.metrics.clusters import Clusters, by_prompt

rows = st.lists(
    st.tuples(st.floats(-1e6, 1e6), st.sampled_from(["", "a", "a\0", "b ", "b", 0, 1, "0"]))
)


def clusters_of(means: list[float]) -> Clusters:
    return Clusters(
        sums=np.array(means, dtype=np.float64), counts=np.ones(len(means), dtype=np.intp)
    )


@given(rows)
def test_the_slow_definition(pairs):
    values, prompts = [value for value, _ in pairs], [prompt for _, prompt in pairs]
    clusters = by_prompt(np.array(values, dtype=np.float64), prompts)
    gathered: dict[object, list[float]] = {}
    for value, prompt in pairs:
        gathered.setdefault(prompt, []).append(value)
    assert len(clusters) == len(gathered)
    assert clusters.n == len(pairs)
    assert clusters.counts.tolist() == [len(group) for group in gathered.values()]
    expected = [math.fsum(group) / len(group) for group in gathered.values()]
    np.testing.assert_allclose(
        mean_by_prompt(values, prompts), expected, rtol=1e-12, atol=1e-6 * 1e-9
    )
    if pairs:
        assert clusters.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-8)


def test_texts_are_the_same_only_to_the_letter():
    assert mean_by_prompt([1, 2, 3, 4], ["a", "a\0", "A", "a "]).tolist() == [1, 2, 3, 4]
    assert mean_by_prompt([1, 3], np.array(["a", "a"])).tolist() == [2]
    assert mean_by_prompt([1, 3], np.array([7, 7])).tolist() == [2]


def test_nothing_has_no_mean():
    assert mean_by_prompt([], []).shape == (0,)
    assert math.isnan(clusters_of([]).mean)


@pytest.mark.parametrize(
    ("means", "differing"),
    [
        ([], 0),
        ([3], 0),
        ([0, 0], 0),
        ([0, 1], 1),
        ([1, 0, 1], 1),
        ([0.3, 0.1 + 0.2], 0),
        ([0.3, 0.3 + 1e-9], 1),
        ([1, 2, 2, 3, 3, 3], 3),
    ],
)
def test_how_many_prompts_differ_from_the_commonest_mean(means, differing):
    assert clusters_of(means).differing == differing


@pytest.mark.parametrize("prompt", [None, math.nan, 1.5, True, ("a",), b"a", ["a"]], ids=repr)
def test_what_stands_for_no_prompt_is_refused(prompt):
    with pytest.raises(BadValueError, match=r"^(the )?prompts h(as|old) [^\n]*\Z"):
        mean_by_prompt([1, 2], ["a", prompt])


def test_a_prompt_a_value():
    with pytest.raises(BadValueError, match="values has 2, prompts has 1"):
        mean_by_prompt([1, 2], ["a"])
    with pytest.raises(BadValueError, match="prompts is 'ab'"):
        mean_by_prompt([1, 2], "ab")
