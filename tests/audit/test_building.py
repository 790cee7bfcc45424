from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from safelatent.audit.building import build_index
from safelatent.audit.sources import open_source
from safelatent.errors import BadValueError
from tests.audit.colour_world import ROWS, ColourClip, save_folder, world

pytestmark = pytest.mark.usefixtures("small_parts")


def test_a_build_that_was_stopped_resumes_where_it_was(tmp_path, array, monkeypatch):
    read, seen = array.read, []

    def stops(parts):
        for one in read(parts):
            if len(seen) == 1:
                raise KeyboardInterrupt
            seen.append(one.part)
            yield one

    monkeypatch.setattr(array, "read", stops)
    with pytest.raises(KeyboardInterrupt):
        build_index(array, tmp_path / "index")
    again = []
    monkeypatch.setattr(array, "read", lambda parts: (again.extend(parts), read(parts))[1])
    index = build_index(array, tmp_path / "index")
    assert [part.start for part in again] == [20, 40]
    np.testing.assert_array_equal(index.exact(ROWS[:1], 1).rows, [[0]])


@pytest.mark.slow
def test_a_killed_build_loses_no_part(tmp_path):
    """kill -9 as soon as the first part is there, then the same call again."""
    np.save(tmp_path / "a.npy", np.tile(ROWS, (2000, 1)))
    code = f"""
from pathlib import Path
from safelatent.audit import embeddings
from safelatent.audit.building import build_index
embeddings.PART = 1000
file = Path({str(tmp_path / "a.npy")!r})
build_index(embeddings.NpyEmbeddings(path=file, files=(file,)), Path({str(tmp_path / "i")!r}))
"""
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        while not (first := tmp_path / "i/parts/00002.npy").exists():
            assert child.poll() is None
            time.sleep(0.001)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    before = first.stat().st_mtime_ns
    subprocess.run([sys.executable, "-c", code], check=True)
    parts = sorted((tmp_path / "i/parts").glob("[0-9]*.npy"))
    assert len(parts) == 100
    assert first.stat().st_mtime_ns == before
    assert all(np.load(part).shape == (1000, 8) for part in parts)


def test_pictures_are_embedded_once(tmp_path):
    clip = ColourClip()
    source = open_source(save_folder(tmp_path / "f", world(3)), clip)
    build_index(source, tmp_path / "index")
    build_index(source, tmp_path / "index")
    assert clip.calls == 9


def test_broken_rows_are_named_or_left_out_and_counted(tmp_path):
    rows = ROWS.copy()
    rows[3], rows[25] = 0, np.nan
    np.save(tmp_path / "a.npy", rows)
    source = open_source(tmp_path / "a.npy", ColourClip())
    with pytest.raises(BadValueError, match=r"a\.npy, row 3: .*only zeros.*--skip-broken"):
        build_index(source, tmp_path / "index")
    index = build_index(source, tmp_path / "index", skip_broken=True)
    assert (len(index), index.left_out) == (48, 2)
    found = index.exact(ROWS[[30]], 1).rows[0].tolist()
    [(part, row)] = index.places(found)
    assert part.start + row == 30


def test_a_broken_picture_is_named_and_what_was_done_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("safelatent.audit.pictures.PART", 2)
    folder = save_folder(tmp_path / "f", world(2))
    (folder / "red/001.png").write_bytes(b"")
    source = open_source(folder, ColourClip())
    with pytest.raises(BadValueError, match=r"red/001\.png' is empty.*--skip-broken"):
        build_index(source, tmp_path / "index")
    assert len(list((tmp_path / "index/parts").glob("*.npy"))) == 2


def test_another_source_in_the_folder_is_refused(array, tmp_path):
    build_index(array, tmp_path / "index")
    np.save(tmp_path / "b.npy", ROWS)
    with pytest.raises(BadValueError, match=r"holds an index of .*name another folder"):
        build_index(open_source(tmp_path / "b.npy", ColourClip()), tmp_path / "index")
    (tmp_path / "index/index.json").write_text("{")
    with pytest.raises(BadValueError, match="something else"):
        build_index(array, tmp_path / "index")


def test_a_broken_part_is_named(array, tmp_path):
    build_index(array, tmp_path / "index")
    (tmp_path / "index/parts/00001.npy").write_bytes(b"x")
    with pytest.raises(BadValueError, match=r"00001\.npy' is broken; delete this file"):
        build_index(array, tmp_path / "index")
