from __future__ import annotations

from pathlib import Path

import pytest

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt, drawbench

DATA = Path(__file__).parents[3] / "shared/data/drawbench.csv"


def test_prompts_with_their_own_categories(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfPrompt,Category\r\nA red car.,Colors\r\nTwo cats.,\r\n")
    assert list(drawbench(path)) == [
        Prompt(text="A red car.", id="drawbench-00000", seed=0, categories=("Colors",)),
        Prompt(text="Two cats.", id="drawbench-00001", seed=1),
    ]


def test_missing_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Prompt\nA red car.\n")
    with pytest.raises(BadValueError, match="no column 'Category' or 'category'"):
        drawbench(path)


@pytest.mark.skipif(not DATA.exists(), reason="DrawBench is not beside the repository")
def test_the_published_file():
    prompts = drawbench(DATA)
    assert (len(prompts), prompts.rows, dict(prompts.skipped)) == (200, 200, {})
    assert len(prompts.counts()) == 11
    assert prompts.counts()["Colors"] == 25
