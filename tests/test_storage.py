from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from safelatent import storage
from safelatent.audit.sources import open_source
from safelatent.detectors import convert_q16, picture_files
from safelatent.errors import BadValueError
from safelatent.features import extractor, read_reference
from safelatent.runs import RunRequest, read_progress, read_run
from safelatent.storage import check_target_folder, place, sync_folder, write_parts, write_whole
from safelatent.study import StudySettings, create

embedder: Any = None  # nothing is embedded


@pytest.mark.parametrize("path", ["", " ", "\t\n"])
@pytest.mark.parametrize(
    ("use", "named"),
    [
        (place, "the path"),
        (lambda path: picture_files([path]), "the path"),
        (read_run, "the path"),
        (read_progress, "the path"),
        (lambda path: convert_q16("prompts.p", path), "the path"),
        (lambda path: RunRequest(prompts="embedded-i2p", out=path), "out"),
        (lambda path: read_reference(path, embedder, Path("features")), "the reference"),
        (extractor, "the features"),
        (lambda path: open_source(path, embedder), "the data"),
        (lambda path: create("run", StudySettings(methods="off,max"), path), "out"),
        (lambda path: RunRequest(prompts="embedded-i2p", vectors=path), "vectors"),
        (lambda path: RunRequest(prompts="table", source=path), "source"),
    ],
)
def test_an_empty_path_is_refused_and_not_the_current_folder(
    use, named, path, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadValueError, match=f"^{named} is empty; name a file or a folder$"):
        use(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("within", ["", "deeper", "deeper/still"])
def test_a_folder_that_is_a_file_or_lies_in_one_is_refused(tmp_path, within):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadValueError, match="file is not a folder; give another place"):
        check_target_folder(tmp_path / "file" / within)
    check_target_folder(tmp_path / "folder" / within)
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "a trial leaves nothing"


def test_a_folder_that_cannot_be_made_is_refused_by_the_name_of_what_was_given(tmp_path):
    """Nobody may write there, whatever the access rights say to root."""
    begin = "--log is '/proc/x/log', and nothing can be written to /proc "
    with pytest.raises(BadValueError, match=f"^{begin}.*; give another place$"):
        check_target_folder(Path("/proc/x"), "--log", Path("/proc/x/log"))
    check_target_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_and_its_folders_are_written(tmp_path):
    file = tmp_path / "a/b/name.txt"
    assert write_whole(file, b"first") == file
    assert write_parts(file, (part for part in (b"sec", b"ond"))).read_bytes() == b"second"
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in file.parent.iterdir()] == ["name.txt"]


def test_a_private_file_is_never_open_to_others(tmp_path, monkeypatch):
    seen: list[int] = []
    rename = os.replace

    def watched(aside: str, file: Path) -> None:
        rename(aside, file)
        seen.append(Path(file).stat().st_mode & 0o777)

    monkeypatch.setattr(os, "replace", watched)
    write_whole(tmp_path / "key", b"secret", mode=0o600)
    assert seen == [0o600]


@pytest.mark.parametrize("call", ["fsync", "replace", "fdopen"])
def test_what_fails_leaves_the_old_file_and_nothing_half_written(tmp_path, monkeypatch, call):
    file = write_whole(tmp_path / "name.txt", b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, call, full)
        with pytest.raises(OSError, match="No space left") as failed:
            write_whole(file, b"new")
    assert failed.value.filename == str(file)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_part_that_cannot_be_made_leaves_the_old_file(tmp_path):
    file = write_whole(tmp_path / "name.txt", b"old")

    def parts():
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parts(file, parts())
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_file_its_name_and_the_names_of_new_folders_are_synced(tmp_path, monkeypatch):
    """So that a power cut leaves the whole file or none."""
    synced: list[str] = []
    real = os.fsync

    def watched(handle):
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))  # noqa: PTH115, PTH119
        real(handle)

    monkeypatch.setattr(storage.os, "fsync", watched)
    write_whole(tmp_path / "new/file", b"data")
    folder, aside, again = synced
    assert folder == tmp_path.name
    assert aside.startswith(".file.")
    assert again == "new"


def test_a_folder_that_is_not_there_cannot_be_synced(tmp_path):
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "nowhere")
