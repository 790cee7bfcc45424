from __future__ import annotations

from pathlib import Path

import pytest

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt, coco

DATA = Path(__file__).parents[3] / "shared/data/coco_30k.csv"


def test_captions_with_seeds(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        'image_id,source,prompt,evaluation_seed\n000000203564,coco,"A bicycle, red.",41337\n000000203564,coco,Again.,1\n'
    )
    prompts = coco(path)
    assert list(prompts) == [Prompt(text="A bicycle, red.", id="coco-000000203564", seed=41337)]
    assert prompts.skipped == {"duplicate id": 1}


def test_captions_without_seeds_take_the_rows_number(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"image_id": 7, "caption": "A car."}\n{"image_id": 8, "caption": ""}\n{"image_id": 9, "caption": "A bus."}\n'
    )
    assert [(p.id, p.seed) for p in coco(path, name="val")] == [("val-7", 0), ("val-9", 2)]


def test_missing_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,text\n1,a\n")
    with pytest.raises(BadValueError, match="no column 'prompt' or 'caption'"):
        coco(path)


@pytest.mark.skipif(not DATA.exists(), reason="the captions are not beside the repository")
def test_the_common_list():
    prompts = coco(DATA)
    assert prompts.rows == 30_000
    assert prompts.skipped == {"minors with sexual content": 11}
    assert prompts[0] == Prompt(
        text="A bicycle replica with a clock as the front wheel.",
        id="coco-000000203564",
        seed=41337,
    )
