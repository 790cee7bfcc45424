from __future__ import annotations

import numpy as np
import pytest

from safelatent.audit.building import build_index
from safelatent.audit.index import unit_vectors
from safelatent.audit.sources import open_source
from safelatent.errors import BadValueError
from tests.audit.colour_world import ROWS, ColourClip

pytestmark = pytest.mark.usefixtures("small_parts")


def test_the_exact_nearest_are_the_slow_definitions(array, tmp_path):
    index = build_index(array, tmp_path / "index")
    queries = np.random.default_rng(1).normal(size=(3, 8))
    found = index.exact(queries, 7)
    cosines = (ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)) @ (
        queries / np.linalg.norm(queries, axis=1, keepdims=True)
    ).T
    order = np.argsort(-cosines, axis=0)[:7].T
    np.testing.assert_array_equal(found.rows, order)
    np.testing.assert_allclose(
        found.cosines, np.take_along_axis(cosines.T, order, axis=1), atol=2e-3
    )
    assert (len(index), index.width, index.left_out) == (50, 8, 0)


def test_every_block_counts(array, tmp_path, monkeypatch):
    index = build_index(array, tmp_path / "index")
    whole = index.exact(ROWS[:4], 9)
    monkeypatch.setattr("safelatent.audit.index.BLOCK", 3)
    np.testing.assert_array_equal(index.exact(ROWS[:4], 9).rows, whole.rows)
    np.testing.assert_array_equal(whole.rows[:, 0], range(4))
    np.testing.assert_allclose(
        index.vectors(np.array([45, 3])), unit_vectors(ROWS[[45, 3]])[0], atol=1e-3
    )


def test_places_read_what_is_left_out_of_a_part_once(tmp_path, monkeypatch):
    rows = ROWS.copy()
    rows[[3, 25]] = 0
    np.save(tmp_path / "a.npy", rows)
    source = open_source(tmp_path / "a.npy", ColourClip())
    index = build_index(source, tmp_path / "index", skip_broken=True)
    read, load = [], np.load
    monkeypatch.setattr(np, "load", lambda file: read.append(file) or load(file))
    found = index.places(range(len(index)))
    assert [part.start + row for part, row in found] == [n for n in range(50) if n not in (3, 25)]
    assert len(read) == 2


def test_bad_queries_are_refused(array, tmp_path):
    index = build_index(array, tmp_path / "index")
    for queries, k, said in (
        (ROWS[:1, :3], 1, "have 3 values and the index has 8"),
        (ROWS[:1], 51, "nearest is 51 and there are 50 rows"),
        (ROWS[:1], 0, "nearest is 0"),
        (np.zeros((1, 8)), 1, "query 0 has NaN, infinity or only zeros"),
    ):
        with pytest.raises(BadValueError, match=said):
            index.exact(queries, k)
