from __future__ import annotations

import pytest
from PIL import Image

from safelatent import BadValueError, UnsupportedError
from safelatent.detectors import Protocol, check_files
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
