"""The one file that holds all that training needs from elsewhere."""

from __future__ import annotations

import zipfile

import pytest

from safelatent.errors import BadValueError
from training import prepared


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    for part in (
        prepared.DRAWINGS,
        prepared.BASIS,
        prepared.POOL,
        "model/tokenizer/tokenizer.json",
    ):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_bytes(part.encode())
    (folder / "decoder").mkdir()
    (folder / "decoder/checkpoint.safetensors").write_bytes(b"not prepared")
    return folder


def test_what_is_packed_comes_back_elsewhere(work, tmp_path):
    prepared.unpack(prepared.pack(work), other := tmp_path / "elsewhere/work")
    files = {str(f.relative_to(other)): f.read_bytes() for f in other.rglob("*") if f.is_file()}
    parts = (prepared.DRAWINGS, prepared.BASIS, prepared.POOL, "model/tokenizer/tokenizer.json")
    assert files == {part: part.encode() for part in parts}


def test_what_is_no_prepared_file_is_refused_in_one_line(work, tmp_path):
    (broken := tmp_path / "broken.zip").write_bytes(prepared.pack(work).read_bytes()[:-30])
    with zipfile.ZipFile(partial := tmp_path / "partial.zip", "w") as packed:
        packed.writestr(prepared.DRAWINGS, b"")
    for file in (tmp_path / "nowhere.zip", broken, partial):
        with pytest.raises(BadValueError, match="give what python -m training prepare wrote"):
            prepared.unpack(file, tmp_path / "elsewhere")


def test_a_file_that_is_too_large_is_refused(work, monkeypatch):
    monkeypatch.setattr(prepared, "MOST", 10)
    with pytest.raises(SystemExit, match="more than 40 MiB: name fewer texts"):
        prepared.pack(work)
