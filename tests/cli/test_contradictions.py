from __future__ import annotations

from pathlib import Path

import pytest

from safelatent.cli.contradictions import (
    MOST_COMPARED,
    check_counts,
    check_judge,
    check_sheets,
    option_name,
)
from safelatent.errors import BadValueError

FINE = (False, False, 1, None, None, {})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({0: True, 1: True}, "two pictures"),
        ({0: True, 2: 3}, "--images is 3"),
        ({0: True, 4: "max"}, "leave --safety out"),
        ({0: True, 5: {"scale": 9.0}}, "leave --scale out"),
        ({0: True, 3: "dog"}, "leave --negative-prompt out"),
        ({1: True, 4: "off"}, "--trace needs the guard"),
        ({5: {"warmup": 3, "warmup_noise_level": 0.5}}, "say the same"),
    ],
)
def test_sheets(changes, said):
    given = [changes.get(n, value) for n, value in enumerate(FINE)]
    with pytest.raises(BadValueError, match=said):
        check_sheets(*given)
    check_sheets(*FINE)


def test_judging_where_nothing_is_judged():
    check_judge(None, None, judged=False)
    check_judge("embedded", None, judged=True)
    with pytest.raises(BadValueError, match="--vectors is for"):
        check_judge(None, Path("q16.npy"), judged=False)


def test_counts():
    check_counts(["a"] * MOST_COMPARED, 1, compare=True)
    with pytest.raises(BadValueError, match="--batch-size is 0"):
        check_counts(["a"], 0, compare=False)
    with pytest.raises(BadValueError, match="at most 100"):
        check_counts(["a"] * (MOST_COMPARED + 1), 1, compare=True)


def test_an_option_by_its_name():
    assert option_name("warmup_noise_level") == "--warmup-noise-level"
