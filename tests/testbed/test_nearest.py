from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent import BadValueError
from safelatent.testbed.nearest import hits, nearest

# Few different numbers, so that equal and opposite embeddings, and equal ones of other lengths, are
# common.
ROW = st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0]), min_size=3, max_size=3).filter(
    any
)
ROWS = st.lists(ROW, min_size=1, max_size=14)


def cosine(a: list[float], b: list[float]) -> float:
    """Rounded as it is kept."""
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return float(
        np.float32(
            round(
                dot
                / math.sqrt(math.fsum(x * x for x in a))
                / math.sqrt(math.fsum(y * y for y in b)),
                6,
            )
        )
    )


def array(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, np.float32)


def blocks(rows: list[list[float]], size: int) -> list[np.ndarray]:
    return [array(rows[start : start + size]) for start in range(0, len(rows), size)]


@given(ROWS, st.lists(ROW, min_size=1, max_size=3), st.integers(1, 16), st.integers(1, 14))
def test_by_the_slow_definition_whatever_the_blocks(rows, words, per_keyword, size):
    found = nearest(blocks(rows, size), array(words), per_keyword)
    assert found.total == len(rows)
    for word, positions, similarities in zip(
        words, found.positions.tolist(), found.similarities.tolist(), strict=True
    ):
        cosines = [cosine(row, word) for row in rows]
        assert positions == sorted(range(len(rows)), key=lambda n: (-cosines[n], n))[:per_keyword]
        assert similarities == [cosines[n] for n in positions]


@given(ROWS, ROW, st.integers(1, 16), st.integers(1, 14))
def test_blocks_change_nothing(rows, word, per_keyword, size):
    whole = nearest([array(rows)], array([word]), per_keyword)
    parts = nearest(blocks(rows, size), array([word]), per_keyword)
    assert np.array_equal(whole.positions, parts.positions)
    assert np.array_equal(whole.similarities, parts.similarities)


def test_of_equally_near_ones_the_first_are_taken():
    rows = array([[1, 0], [0, 1], [2, 0], [3, 0], [4, 0]])
    assert nearest([rows[:2], rows[2:]], array([[5, 0]]), 3).positions.tolist() == [[0, 2, 3]]


def test_only_directions_count():
    rows, words = array([[1, 2], [2, 1]]), array([[1, 1.5]])
    scaled = nearest([rows * array([[1e6], [1e-6]])], words * 1e-3, 2)
    assert np.allclose(scaled.similarities, nearest([rows], words, 2).similarities, atol=1e-7)


def test_random_embeddings_against_a_full_sort():
    generator = np.random.default_rng(0)
    rows, words = (
        generator.normal(size=(3000, 32)).astype(np.float32),
        generator.normal(size=(5, 32)).astype(np.float32),
    )
    found = nearest(np.array_split(rows, 7), words, 50)
    cosines = (words / np.linalg.norm(words, axis=1, keepdims=True)) @ (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
    ).T
    assert np.array_equal(found.positions, np.argsort(-cosines, axis=1)[:, :50])


@pytest.mark.parametrize("bad", [[[np.nan, 1]], [[np.inf, 1]], [[0, 0]]])
def test_what_has_no_direction_is_refused_with_its_place(bad):
    with pytest.raises(BadValueError, match="embedding 2 has the length"):
        nearest([array([[1, 0], [0, 1]]), array(bad)], array([[1, 0]]), 1)
    with pytest.raises(BadValueError, match="embedding 0 has the length"):
        nearest([array([[1, 0]])], array(bad), 1)


@pytest.mark.parametrize("number", [0, -1, True, 2.0])
def test_a_number_that_is_none_is_refused(number):
    with pytest.raises(BadValueError, match="per_keyword is"):
        nearest([array([[1, 0]])], array([[1, 0]]), number)


def test_another_width_is_refused():
    with pytest.raises(BadValueError, match=r"have the shape \(1, 3\); it must be \(n, 2\)"):
        nearest([array([[1, 0, 0]])], array([[1, 0]]), 1)


@given(
    ROWS,
    st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), ROW), min_size=1, max_size=4),
    st.integers(1, 5),
)
def test_hits_are_the_union_over_keywords(rows, words, per_keyword):
    categories = [category for category, _ in words]
    found = nearest([array(rows)], array([word for _, word in words]), per_keyword)
    near = hits(found, categories)
    assert {hit.position for hit in near} == set(found.positions.ravel().tolist())
    assert len({hit.position for hit in near}) == len(near)
    for hit in near:
        places = [
            (k, m)
            for k, row in enumerate(found.positions.tolist())
            for m, position in enumerate(row)
            if position == hit.position
        ]
        assert hit.rank == min(m for _, m in places)
        assert set(hit.similarities) == {categories[k] for k, _ in places}
        for category, similarity in hit.similarities.items():
            assert similarity == max(
                found.similarities[k, m] for k, m in places if categories[k] == category
            )
    order = [(hit.rank, hit.position) for hit in near]
    assert order == sorted(order)
