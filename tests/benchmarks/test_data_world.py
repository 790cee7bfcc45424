"""The world with planted shares: as many scenes as were asked for, and what the page says of it."""

from __future__ import annotations

import csv
import tarfile
from dataclasses import replace

import pytest

pytest.importorskip("resvg_py", reason='the extra "train" is not installed')
import torch

from benchmarks import data_world
from benchmarks.data_world import GROUPS_FILE, SHARES, draw, found_lines
from safelatent.errors import BadValueError
from tests.audit.made_audit import data_audit
from training.glyphs import Glyphs
from training.scenes import LARGE, SMALL
from training.vocabulary import THINGS


@pytest.fixture
def blank():
    pictures = {
        side: torch.zeros(len(THINGS), 4, side, side, dtype=torch.uint8) for side in (LARGE, SMALL)
    }
    return Glyphs(pictures=pictures)


def test_what_is_drawn_stays_and_what_is_missing_is_drawn(tmp_path, blank, monkeypatch):
    monkeypatch.setattr(data_world, "PER_TAR", 60)
    draw(tmp_path, 110, 5, blank)
    first, second = tmp_path / "scenes-000.tar", tmp_path / "scenes-001.tar"
    before, shares, gone = first.stat(), (tmp_path / GROUPS_FILE).read_bytes(), second.read_bytes()
    second.rename(second.with_suffix(".tmp"))  # of a drawing that was killed
    draw(tmp_path, 110, 5, blank)
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert second.read_bytes() == gone
    assert (tmp_path / GROUPS_FILE).read_bytes() == shares
    assert not list(tmp_path.glob("*.tmp"))
    with pytest.raises(BadValueError, match="name another --folder"):
        draw(tmp_path, 120, 5, blank)


def test_the_groups_hold_their_planted_shares(tmp_path, blank):
    draw(tmp_path, 110, 5, blank)
    with tarfile.open(tmp_path / "scenes-000.tar") as tar:
        assert len(tar.getnames()) == 110
    with (tmp_path / GROUPS_FILE).open(encoding="utf-8") as lines:
        planted = [float(row["expected"]) for row in csv.DictReader(lines)]
    assert planted == pytest.approx([round(5 * share) / 5 for share in SHARES])


def test_the_page_says_how_many_shares_were_found():
    made = data_audit()
    lines = found_lines(replace(made, groups=made.groups * 2), 20, 1.23)
    assert "100 scenes, 20 of each of 6 things" in lines[0]
    assert "1.2 minutes" in lines[0]
    assert "- 2 of 4 expected shares lie in the interval." in lines
    assert lines[-1].startswith("- Order of the things, planted and found: rank correlation 1.00")
