"""The world with planted shares: as many scenes as were asked for, and what the page says of it."""

from __future__ import annotations

import csv
import tarfile
from dataclasses import replace

import pytest

pytest.importorskip("resvg_py", reason='the extra "train" is not installed')
import torch

from benchmarks.data_world import GROUPS_FILE, SHARES, draw, found_lines
from tests.audit.made_audit import data_audit
from training.glyphs import Glyphs
from training.scenes import LARGE, SMALL
from training.vocabulary import THINGS


def test_the_groups_hold_their_planted_shares(tmp_path):
    blank = {
        side: torch.zeros(len(THINGS), 4, side, side, dtype=torch.uint8) for side in (LARGE, SMALL)
    }
    draw(tmp_path, 110, 5, Glyphs(pictures=blank))
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
