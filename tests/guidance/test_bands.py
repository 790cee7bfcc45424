from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.guidance.bands import at, every, parsed_bands, written

BANDS = st.lists(st.floats(0.01, 0.99), max_size=3, unique=True).flatmap(
    lambda levels: st.tuples(*[st.integers(1, 9)] * (len(levels) + 1)).map(
        lambda numbers: tuple(zip([1.0, *sorted(levels, reverse=True)], numbers, strict=True))
    )
)


@given(BANDS)
def test_what_is_written_is_read(bands):
    kept = every("concept", bands)
    assert every("concept", parsed_bands("", written(kept))) == kept


def test_the_number_that_holds_at_a_level():
    bands = ((1.0, 2), (0.7, 5), (0.3, 9))
    assert [at(bands, level) for level in (1.0, 0.71, 0.7, 0.5, 0.3, 0.0)] == [2, 2, 5, 5, 9, 9]
    assert at(bands, 0.7 * (1 + 1e-7)) == 5, "rounding delays no band"
    assert at(3, 0.5) == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "whole number of at least 1"),
        (2.5, "whole number of at least 1"),
        (True, "whole number of at least 1"),
        ((), "give a number, or pairs"),
        (((0.9, 2),), "levels begin at 1 and fall"),
        (((1, 2), (1, 3)), "levels begin at 1 and fall"),
        (((1, 2, 3),), r"must be pairs \(noise level, number\)"),
    ],
    ids=str,
)
def test_what_is_no_band_is_refused_by_name(value, message):
    with pytest.raises(BadValueError, match=message):
        every("uncond", value)
