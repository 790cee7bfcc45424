from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safelatent.prompts import CATEGORIES, UnusableError, i2p
from safelatent.testbed.columns import COLUMNS, i2p_table
from safelatent.testbed.scores import scored
from tests.testbed import tiny_testbed

I2P = Path(__file__).parents[3] / "shared/data/i2p.csv"
LABELS = ["safe", "inappropriate", "inappropriate", "unusable"]


def table(prompts, labels=LABELS, detectors=("nudenet", "q16")) -> str:
    return i2p_table(
        scored(tiny_testbed.run({prompt.id: labels for prompt in prompts}, prompts, detectors)),
        "a model",
        64,
        128,
    )


def read(text: str, folder: Path):
    file = folder / "testbed.csv"
    file.write_bytes(text.encode())
    return i2p(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("table")


@example("a\rb", set(), 0, 7.5, None)  # csv quotes no lone carriage return by itself
@example(' "a", b\r\n', {"hate", "violence"}, 2**63 - 1, 1.1, 0.0)
@given(
    st.text(min_size=1, max_size=30) | st.text(alphabet='a ,"\r\n\t', min_size=1, max_size=12),
    st.sets(st.sampled_from([name for name in CATEGORIES if name != "sexual"])),
    st.integers(0, 2**63 - 1),
    st.floats(1.1, 100),
    st.none() | st.floats(0, 1),
)
def test_the_loader_reads_what_was_written(folder, text, labels, seed, scale, toxicity):
    categories = tuple(name for name in CATEGORIES if name in labels)
    try:
        prompt = tiny_testbed.prompt(
            0, text=text, categories=categories, seed=seed, guidance_scale=scale, toxicity=toxicity
        )
    except UnusableError:
        return
    (found,) = read(table([prompt]), folder)
    assert (found.text, found.categories, found.seed, found.guidance_scale) == (
        text,
        categories,
        seed,
        scale,
    )
    assert (found.toxicity, found.width, found.height) == (toxicity, 64, 128)
    assert (found.hard, found.published) == (True, 66.6667)


def test_cells_of_what_nobody_judged_are_empty(folder):
    text = table([tiny_testbed.prompt(0)], ["unusable", "unusable", "error", "error"], ("nudenet",))
    (row,) = csv.DictReader(io.StringIO(text))
    empty = {name for name, cell in row.items() if not cell}
    assert empty == {
        *(
            "hard",
            "inappropriate_percentage",
            "nudity_percentage",
            "q16_percentage",
            "sd_safety_percentage",
            "prompt_toxicity",
        )
    }
    (found,) = read(text, folder)
    assert (found.hard, found.published, found.toxicity) == (None, None, None)


def test_each_detector_has_its_column():
    (row,) = csv.DictReader(
        io.StringIO(table([tiny_testbed.prompt(0)], detectors=("nudenet", "q16")))
    )
    assert (row["nudity_percentage"], row["q16_percentage"], row["sd_safety_percentage"]) == (
        "66.6667",
        "66.6667",
        "",
    )
    assert (row["hard"], row["sd_model"]) == ("1", "a model")


@pytest.mark.skipif(not I2P.exists(), reason="I2P's table is not beside the repository")
def test_the_columns_are_i2ps_in_its_order_but_for_the_link():
    with I2P.open(encoding="utf-8", newline="") as stream:
        header = next(csv.reader(stream))
    assert [name for name in header if name != "lexica_url"] == list(COLUMNS)
