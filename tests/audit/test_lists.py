from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from safelatent.audit import embeddings, lists
from safelatent.audit.building import build_index
from safelatent.audit.lists import build_lists, search_lists
from safelatent.audit.sources import open_source
from safelatent.errors import BadValueError, UnsupportedError
from tests.audit.colour_world import ColourClip

faiss = pytest.importorskip("faiss")
RANDOM = np.random.default_rng(0)
CENTRES = RANDOM.normal(size=(30, 16))
ROWS = (CENTRES[RANDOM.integers(30, size=3000)] + 0.3 * RANDOM.normal(size=(3000, 16))).astype(
    np.float32
)


@pytest.fixture
def index(tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "PART", 1000)
    np.save(tmp_path / "a.npy", ROWS)
    return build_index(open_source(tmp_path / "a.npy", ColourClip()), tmp_path / "index")


def recall(found, exact) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, exact, strict=True)]))


def test_lists_find_the_exact_nearest(index):
    exact = index.exact(ROWS[:10], 20)
    found = search_lists(index, ROWS[:10], 20, read=16)
    assert recall(found.rows, exact.rows) / 20 >= 0.95
    every = search_lists(index, ROWS[:10], 20, read=10_000)
    np.testing.assert_array_equal(every.rows, exact.rows)
    np.testing.assert_allclose(every.cosines, exact.cosines, rtol=1e-5)


def test_the_lists_are_memory_mapped_and_built_once(index, monkeypatch):
    assert isinstance(
        faiss.downcast_InvertedLists(build_lists(index).invlists), faiss.OnDiskInvertedLists
    )
    monkeypatch.setattr(lists, "_trained", None)
    assert build_lists(index).ntotal == 3000
    assert sorted(p.name for p in (index.folder / "lists").iterdir()) == [
        "centres.faiss",
        "index.faiss",
        "lock",
    ]


def test_a_build_that_was_stopped_resumes_where_it_was(index, monkeypatch):
    filled, done = lists._filled, []

    def stops(of, part, empty):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(part)
        return filled(of, part, empty)

    monkeypatch.setattr(lists, "_filled", stops)
    with pytest.raises(KeyboardInterrupt):
        build_lists(index)
    (index.folder / "lists/00001.tmp").write_bytes(b"half of a part")
    again: list[int] = []
    monkeypatch.setattr(lists, "_filled", lambda *a: (again.append(a[1]), filled(*a))[1])
    monkeypatch.setattr(lists, "_trained", None)
    assert build_lists(index).ntotal == 3000
    assert again == [1, 2]


def test_what_a_kill_after_the_last_write_left_is_removed(index, monkeypatch):
    unlink = Path.unlink

    def killed(path, missing_ok=False):
        if path.name == "00001.faiss":
            raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            build_lists(index)
    folder = index.folder / "lists"
    (folder / "00002.tmp").write_bytes(b"half of a part")
    assert (folder / "00001.faiss").exists()
    assert build_lists(index).ntotal == 3000
    assert {p.name for p in folder.iterdir()} == {"centres.faiss", "index.faiss", "lock"}


def test_of_two_builds_at_once_the_second_waits_and_finds_the_lists(index, monkeypatch):
    trained, begun, go, times = lists._trained, Event(), Event(), []

    def slow(*given):
        times.append(1)
        begun.set()
        assert go.wait(60)
        return trained(*given)

    monkeypatch.setattr(lists, "_trained", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(build_lists, index)
        assert begun.wait(60)
        second = pool.submit(build_lists, index)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.3)
        go.set()
        assert first.result().ntotal == second.result().ntotal == 3000
    assert times == [1]


def test_too_few_rows_in_the_lists_that_are_read_are_refused(index):
    with pytest.raises(BadValueError, match="fewer than 900; give --search exact"):
        search_lists(index, ROWS[:1], 900, read=1)


def test_broken_lists_are_named(index):
    build_lists(index)
    (index.folder / "lists/index.faiss").write_bytes(b"x")
    with pytest.raises(BadValueError, match="is broken; delete the folder"):
        build_lists(index)


def test_without_faiss_the_error_names_the_extra(index, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UnsupportedError, match=r'pip install "safelatent\[index\]"'):
        search_lists(index, ROWS[:1], 5)
