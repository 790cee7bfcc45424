from __future__ import annotations

import json
import os

import pytest
from PIL import Image

from safelatent.errors import BadValueError
from safelatent.generation.request import Request
from safelatent.generation.sampling import Made
from safelatent.generation.save import save_image, save_picture
from safelatent.provenance import AuditLog, Seal

PICTURE = Image.new("RGB", (4, 4), "red")


def test_the_file_says_how_it_was_made_and_is_whole(tmp_path):
    made = Made(
        request=Request(prompt='ein Kätzchen 🐱, "quoted"', safety="off"),
        image=PICTURE,
        receipt=None,
    )
    file = tmp_path / "new/folder/a.png"
    receipt = save_image(made, file, Seal())
    with Image.open(file) as stored:
        assert stored.format == "PNG"
        assert json.loads(stored.text["safelatent"]) == receipt
    assert made.as_dict().items() <= receipt.items()
    assert receipt["request"] == made.request.hash
    assert [path.name for path in file.parent.iterdir()] == ["a.png"]


def test_what_cannot_be_sealed_is_not_written(tmp_path):
    made = Made(request=Request(prompt="a cat", safety="off"), image=PICTURE, receipt=None)
    log = AuditLog(file=tmp_path / "log")
    log.file.write_bytes(b"no log\n")
    with pytest.raises(BadValueError, match="is damaged"):
        save_image(made, tmp_path / "a.png", Seal(log=log))
    assert not (tmp_path / "a.png").exists()


def test_the_names_of_new_folders_are_synced_before_the_file_counts_as_written(
    tmp_path, monkeypatch
):
    """A row is the commit; a power cut right after it must find the image's folder, and the folder
    above that.
    """
    places: dict[int, str] = {}
    synced: list[str] = []
    really_open, really_sync = os.open, os.fsync

    def opened(path, *rest, **named):
        handle = really_open(path, *rest, **named)
        places[handle] = os.path.relpath(path, tmp_path)
        return handle

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(places[handle]) or really_sync(handle)
    )
    save_picture(PICTURE, tmp_path / "images/ab/a.png", {})
    assert [place for place in synced if not place.endswith(".tmp")] == [".", "images", "images/ab"]
    synced.clear()
    save_picture(PICTURE, tmp_path / "images/ab/b.png", {})
    assert [place for place in synced if not place.endswith(".tmp")] == ["images/ab"]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, moment):
    save_picture(PICTURE, tmp_path / "a.png", {"old": True})
    before = (tmp_path / "a.png").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, moment, full)
    with pytest.raises(OSError, match="No space"):
        save_picture(Image.new("RGB", (4, 4), "blue"), tmp_path / "a.png", {"old": False})
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
