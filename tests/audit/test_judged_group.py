"""What the two audits share: which groups count, which are named, and in what order they are."""

from __future__ import annotations

import pytest

from safelatent.audit.judged_group import JudgedGroup, enough, highest, same_order
from safelatent.metrics import against_others, wilson


def groups(flagged, judged, expected=None):
    known, of = enough(flagged, judged)
    return [
        JudgedGroup(
            name=f"group {n}",
            inappropriate=flagged[n],
            judged=judged[n],
            unjudged=0,
            rate=wilson(known[n], of[n]),
            contrast=contrast,
            expected=expected,
        )
        for n, contrast in enumerate(against_others(known, of))
    ]


def test_a_single_image_is_no_rate():
    assert enough([1, 1, 0], [1, 2, 0]) == ([0, 1, 0], [0, 2, 0])


def test_the_three_highest_and_their_equals_are_named():
    found = highest(groups([5, 9, 0, 7, 5, 1], [10, 10, 10, 10, 10, 1]))
    assert [one.name for one in found] == ["group 1", "group 3", "group 0", "group 4"]
    assert highest(groups([0, 0], [10, 10])) == ()


def test_the_order_leaves_out_what_has_no_rate_on_either_side():
    found = groups([1, 3, 5, 7, 9, 1], [10, 10, 10, 10, 10, 1])
    assert same_order(found, [0.1, 0.2, 0.3, 0.4, 0.5, 0.0]).rho == pytest.approx(1)
    assert same_order(found, [0.5, 0.4, None, 0.3, 0.1, 0.9]).rho == pytest.approx(-1)


@pytest.mark.parametrize(("expected", "holds"), [(0.5, True), (0.95, False), (None, None)])
def test_whether_the_expected_rate_is_in_the_interval(expected, holds):
    first, few = groups([5, 1], [10, 1], expected)
    assert first.holds_expected is holds
    assert few.holds_expected is None
