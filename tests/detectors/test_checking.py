from __future__ import annotations

import pytest
from PIL import Image

from safelatent import BadValueError, UnsupportedError
from safelatent.detectors import Protocol, check_files, picture_files, protocol_name
from safelatent.detectors.checking import WHOLE, cell_boxes
from safelatent.generation.save import save_picture
from tests.detectors.tiny_detectors import Scripted, by_width, noise

WIDTHS = Protocol(
    name="widths",
    detectors=(Scripted(answer=lambda images: [by_width(image) for image in images]),),
)


@pytest.fixture
def files(tmp_path):
    noise(60).save(tmp_path / "wide.png")
    (tmp_path / "broken.png").write_bytes(b"hello")
    Image.new("RGB", (9, 9)).save(tmp_path / "black.png")
    noise(20).save(tmp_path / "narrow.jpg")
    return [
        tmp_path / name
        for name in ("wide.png", "broken.png", "black.png", "missing.png", "narrow.jpg")
    ]


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_one_result_a_file_in_order_whatever_the_files_are(files, batch):
    results = list(check_files(WIDTHS, files, batch=batch))
    assert [r.file for r in results] == files
    assert [r.judgement.label for r in results] == [
        "inappropriate",
        "unusable",
        "unusable",
        "unusable",
        "safe",
    ]
    assert [r.image and r.image.size for r in results] == [(60, 8), None, (9, 9), None, (20, 8)]
    assert [r.judgement.verdicts["scripted"].evidence for r in results][1].startswith(
        f"'{files[1]}' cannot be read"
    )
    assert {r.judgement.protocol_hash for r in results} == {WIDTHS.hash}


def test_results_come_as_they_are_made(files):
    results = check_files(WIDTHS, files, batch=1)
    next(results)
    files[4].unlink()
    assert [r.judgement.label for r in results][-1] == "unusable"


def test_names_may_be_text(files):
    assert [r.file for r in check_files(WIDTHS, [str(files[0])])] == [files[0]]


def test_a_batch_that_makes_no_sense_is_refused(files):
    with pytest.raises(BadValueError, match="batch is 0"):
        next(check_files(WIDTHS, files, batch=0))


def test_what_cannot_be_loaded_is_said_before_a_file_is_read(files):
    class Absent(Scripted):
        def fingerprint(self):
            raise UnsupportedError("pip install it")

    protocol = Protocol(name="absent", detectors=(Absent(answer=lambda images: []),))
    with pytest.raises(UnsupportedError, match="pip install it"):
        next(check_files(protocol, files))


def sheet(file, *widths: int, kind="comparison", **changes):
    """Pictures beside one another on white, with their places in the metadata."""
    page = Image.new("RGB", (sum(widths) + 10, 20), "white")
    cells, x = [], 5
    for width in widths:
        page.paste(noise(width), (x, 5))
        cells.append({"cell": f"width {width}", "box": [x, 5, x + width, 13]})
        x += width
    return save_picture(page, file, {"kind": kind, "model": "embedded", "cells": cells} | changes)


@pytest.mark.parametrize("kind", ["comparison", "trace"])
def test_a_sheet_is_taken_apart(tmp_path, kind):
    """Its pictures are judged by themselves; the sheet as a whole counts only if it is unsafe."""
    file = sheet(tmp_path / "sheet.png", 12, 20, kind=kind)
    results = list(check_files(WIDTHS, [file], batch=2))
    assert [(r.file, r.part, r.judgement.label) for r in results] == [
        (file, "width 12", "safe"),
        (file, "width 20", "safe"),
    ]
    assert [r.image.tobytes() for r in results] == [noise(12).tobytes(), noise(20).tobytes()]
    wide = list(check_files(WIDTHS, [sheet(tmp_path / "wide.png", 12, 60)]))
    assert [(r.part, r.judgement.label) for r in wide] == [
        ("width 12", "safe"),
        ("width 60", "inappropriate"),
        (WHOLE, "inappropriate"),
    ]


def test_no_metadata_hides_what_would_have_been_found(tmp_path):
    """An unsafe picture that says it is a sheet, and names a harmless corner as its only cell."""
    cells = [{"cell": "a corner", "box": [0, 0, 8, 8]}]
    file = save_picture(noise(60), tmp_path / "x.png", {"kind": "comparison", "cells": cells})
    labels = {r.part: r.judgement.label for r in check_files(WIDTHS, [file])}
    assert labels == {"a corner": "safe", WHOLE: "inappropriate"}


BAD_SHEETS = {
    "several images without places": [{"prompt": "a cat"}, {"prompt": "a dog"}],
    "no cells": {"kind": "comparison"},
    "cells that are none": {"kind": "trace", "cells": "all"},
    "an empty list": {"cells": []},
    "too many": {"cells": [{"cell": "x", "box": [0, 0, 1, 1]}] * 10_001},
    "no box": {"cells": [{"cell": "x"}]},
    "text": {"cells": [{"cell": "x", "box": ["0", 0, 1, 1]}]},
    "true for one": {"cells": [{"cell": "x", "box": [0, 0, True, 1]}]},
    "outside": {"cells": [{"cell": "x", "box": [0, 0, 41, 8]}]},
    "turned round": {"cells": [{"cell": "x", "box": [8, 0, 4, 8]}]},
    "without pixels": {"cells": [{"cell": "x", "box": [4, 0, 4, 8]}]},
    "negative": {"cells": [{"cell": "x", "box": [-1, 0, 4, 8]}]},
    "over one another": {"cells": [{"cell": "x", "box": [0, 0, 40, 8]}] * 2},
}


@pytest.mark.parametrize("case", BAD_SHEETS)
def test_a_sheet_that_cannot_be_taken_apart_is_unusable_and_stops_no_other(case, tmp_path):
    file = save_picture(noise(40), tmp_path / "x.png", BAD_SHEETS[case])
    other = save_picture(noise(30), tmp_path / "y.png", {"prompt": "a cat"})
    first, second = check_files(WIDTHS, [file, other])
    assert (first.judgement.label, second.judgement.label) == ("unusable", "safe")
    evidence = first.judgement.verdicts["scripted"].evidence
    assert "check its pictures one by one" in evidence
    assert "\n" not in evidence


@pytest.mark.parametrize("metadata", [None, "text", 5, {"prompt": "a cat"}, {"kind": "other"}])
def test_other_metadata_is_no_sheets(metadata):
    assert cell_boxes(metadata, (10, 10)) is None


def test_a_folder_is_searched_with_its_subfolders(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("z.png", "a/y.JPG", "a/b/x.webp"):
        (tmp_path / name).write_bytes(b"")
    for name in ("notes.txt", "a/receipt.json"):
        (tmp_path / name).write_text("")
    (tmp_path / "a/folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    files, left_out = picture_files([tmp_path / "notes.txt", tmp_path])
    assert [str(f.relative_to(tmp_path)) for f in files] == [
        "notes.txt",
        "a/b/x.webp",
        "a/y.JPG",
        "gone.png",
        "z.png",
    ]
    assert left_out == 2


def test_no_picture_and_no_file_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(BadValueError, match="has no picture"):
        picture_files([tmp_path])
    with pytest.raises(BadValueError, match="is not a file; give picture files or folders"):
        picture_files([tmp_path / "nowhere"])


def test_the_protocol_is_chosen_only_for_the_embedded_models_pictures(tmp_path):
    ours = save_picture(noise(30), tmp_path / "ours.png", {"model": "embedded"})
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG")
    assert protocol_name([ours, broken, sheet(tmp_path / "sheet.png", 12)]) == "embedded"
    assert protocol_name([broken]) == "embedded"
    theirs = save_picture(noise(30), tmp_path / "theirs.png", {"model": "owner/name"})
    with pytest.raises(BadValueError, match=r"theirs.png' was drawn by 'owner/name'.* --protocol"):
        protocol_name([ours, theirs])
    for number, metadata in enumerate([{}, [], "text", {"model": 5}, {"model": "embeded"}]):
        file = save_picture(noise(30), tmp_path / f"{number}.png", metadata)
        with pytest.raises(BadValueError, match="add --protocol i2p-paper --vectors FILE"):
            protocol_name([file])
    noise(30).save(tmp_path / "photo.jpg")
    with pytest.raises(BadValueError, match="does not name its model"):
        protocol_name([tmp_path / "photo.jpg"])
