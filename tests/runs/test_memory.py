"""A run of many images takes no more memory than one of few: nothing but the disk grows with them."""

from __future__ import annotations

import gc
import os
import pathlib
import tracemalloc
from functools import partial
from pathlib import Path

import pytest

from safelatent.prompts import Prompt, PromptSet
from safelatent.runs import store
from safelatent.runs.bench import run
from safelatent.runs.engines.local import run_local
from safelatent.runs.plan import Plan
from safelatent.runs.read import each_row, read_run
from safelatent.runs.result import Result
from safelatent.runs.scores import score_lines
from safelatent.runs.store import Store
from tests.runs import dummy

PROMPTS = PromptSet(
    name="many",
    prompts=tuple(Prompt(text=f"prompt {n}", id=f"p-{n}", seed=n) for n in range(500)),
    rows=500,
    skipped={},
)
FEW, MANY = 2, 10  # images a prompt, by each of two methods
PNG = dummy.png(next(iter(dummy.plan(PROMPTS))).items[0])


class Maker(dummy.Maker):
    """Makes the same picture every time, as a string of its own: what is measured is who keeps it."""

    def finish(self, denoised):
        verdicts = {"dummy": {"label": "safe", "score": 0.25, "threshold": 0.5, "evidence": ""}}
        which = [
            {
                "key": item.key,
                "prompt_id": item.prompt.id,
                "image": item.image,
                "method": item.method,
            }
            for item in denoised.items
        ]
        return [
            Result(**one, png=bytes(bytearray(PNG)), label="safe", verdicts=verdicts)
            for one in which
        ]


def held() -> int:
    """Bytes that are held now, without those of pathlib, which grow and shrink with the
    interpreter's own table of names.
    """
    gc.collect()
    return sum(
        one.size
        for one in tracemalloc.take_snapshot()
        .filter_traces([tracemalloc.Filter(False, pathlib.__file__)])
        .traces
    )


def measured(folder: Path, images: int) -> tuple[int, int]:
    """What is held when all is drawn and the run has not ended, and at the last line of the score
    table.
    """
    settings = dummy.settings(PROMPTS, images=images, methods=("off", "max"), batch=20)
    total, drawn, written = len(PROMPTS) * images * 2, 0, 0
    tracemalloc.start()
    try:
        for counts in run(folder, settings, PROMPTS, partial(run_local, Maker())):
            drawn = held() if counts.total() == total else 0
        for n, _ in enumerate(score_lines(each_row(folder), ["dummy"])):
            written = held() if n == total else 0
        return drawn, written
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_stays_flat_from_two_thousand_images_to_ten_thousand(tmp_path, monkeypatch):
    connect = store._connect

    def careless(file):
        database = connect(file)
        database.execute("PRAGMA synchronous = OFF")
        return database

    monkeypatch.setattr(
        os, "fsync", lambda _: None
    )  # what is measured is memory, and a disk would take minutes
    monkeypatch.setattr(store, "_connect", careless)
    few, many = measured(tmp_path / "few", FEW), measured(tmp_path / "many", MANY)
    images = len(PROMPTS) * 2 * (MANY - FEW)
    for what, less, more in zip(("drawing", "writing the table"), few, many, strict=True):
        each = (more - less) / images
        assert each < 8, (
            f"{what}: {less} bytes for 2,000 images, {more} for 10,000: {each:.1f} bytes an image"
        )


def test_a_row_that_is_read_takes_little_more_than_its_text(tmp_path):
    """A report holds every row of a run, 271,200 of them for I2P by six methods."""
    prompts = PromptSet(name="few", prompts=PROMPTS.prompts[:50], rows=50, skipped={})
    settings = dummy.settings(prompts, images=10, methods=("off", "max"), batch=50)
    verdict = {
        "label": "safe",
        "score": 0.25,
        "threshold": 0.5,
        "evidence": {"FACE_FEMALE": 0.5, "BELLY_EXPOSED": 0.25},
    }
    receipt = {
        "concept": "violence " * 20,
        "settings": {"scale": 5000.0, "momentum": 0.5, "decay": 0.7},
        "steps": 50,
        "guided_steps": 50,
    }
    with Store(tmp_path, settings, prompts) as store:
        for batch in Plan(settings=settings, prompts=prompts):
            which = [
                {
                    "key": item.key,
                    "prompt_id": item.prompt.id,
                    "image": item.image,
                    "method": item.method,
                }
                for item in batch.items
            ]
            store.commit(
                [
                    Result(
                        **one,
                        png=None,
                        label="safe",
                        verdicts={"one": verdict, "two": verdict},
                        receipt=receipt,
                    )
                    for one in which
                ]
            )
    tracemalloc.start()
    try:
        found = read_run(tmp_path)
        each = held() / len(found.rows)
    finally:
        tracemalloc.stop()
    first = found.rows[0]
    assert first.verdicts == {"one": verdict, "two": verdict}
    assert first.receipt == receipt
    text = len(first.verdicts_json) + len(first.receipt_json or "")
    assert each < text + 800, f"{each:.0f} bytes a row, of which {text} are text"
