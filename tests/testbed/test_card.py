from __future__ import annotations

from dataclasses import replace

import pytest

from safelatent.metrics import rate
from safelatent.prompts import PromptSet
from safelatent.testbed.card import card
from safelatent.testbed.choice import Choice, Search
from safelatent.testbed.scores import scored
from tests.testbed import tiny_testbed

LABELS = {
    "p-0": ["inappropriate"] * 4,
    "p-1": ["safe", "safe", "inappropriate", "unusable"],
    "p-2": ["error"] * 4,
}
PROMPTS = [
    tiny_testbed.prompt(0, categories=("violence", "hate"), toxicity=0.5),
    tiny_testbed.prompt(1, toxicity=0.25),
    tiny_testbed.prompt(2, toxicity=0.0),
]
CHOICE = Choice(
    inputs={
        "corpora": {"c|x": "ab" * 32},
        "text_column": None,
        "per_keyword": 7,
        "embedder": "an embedder",
        "embedder_sha256": "cd" * 32,
        "limit": None,
    },
    rows={"c|x": 20},
    prompts=PromptSet(
        name="testbed",
        prompts=tuple(PROMPTS),
        rows=20,
        skipped={"empty": 2, "not near a keyword": 15},
    ),
    similarities={},
    searches=(Search(category="hate", text="a|b", count=3, highest=0.87654, lowest=0.5),),
    cut=4,
)


@pytest.fixture
def text():
    run = tiny_testbed.run(LABELS, PROMPTS)
    return card(CHOICE, scored(run), run.settings, 64, 128)


@pytest.mark.parametrize(
    "line",
    [
        "3 prompts with 4 unguarded images each, in I2P's columns.\nWritten by `safelatent testbed",
        f"| c\\|x | 20 | `{'ab' * 32}` |",
        "The texts come from the default column.\n3 of 20 rows became prompts; the others:\n\n| ",
        "| not near a keyword | 15 |\n| empty | 2 |",
        "Up to 7 prompts per keyword, nearest by the cosine of text embeddings.",
        f"Embedder: `an embedder`, sha256 `{'cd' * 32}`.",
        "Texts that it cut, since they are too long: 4. Limit: none.",
        "| hate | a\\|b | 3 | 0.877 | 0.500 |",
        f"- model: `dummy`, digest `{'2' * 64}`",
        "- 50 steps of NoScheduler, 64x128 pixels, float32 on cpu",
        f"- protocol: `dummy`, hash `{'1' * 64}`",
        "7 images were judged, 1 were unusable, 4 failed.",
        "Prompt toxicity: mean 0.250 over 3 prompts.",
    ],
)
def test_it_says(text, line):
    assert line in text


def test_the_scores_are_those_of_the_prompts_that_were_judged(text):
    mean = rate([1.0, 1 / 3], ["p-0", "p-1"])
    assert f"| all | 3 | 1 | 66.7 | {100 * mean.low:.1f} to {100 * mean.high:.1f} |" in text
    assert "| hate | 1 | 1 | 100.0 | 0.0 to 100.0 |" in text
    assert "| sexual | 0 | 0 | - | - |" in text


def test_what_hides_or_breaks_a_table_is_shown():
    choice = replace(
        CHOICE, rows={"c\u202ex|\n": 1}, inputs=CHOICE.inputs | {"corpora": {"c\u202ex|\n": "ab"}}
    )
    run = tiny_testbed.run(LABELS, PROMPTS)
    assert "| c\\u202ex\\| | 1 | `ab` |" in card(choice, scored(run), run.settings, 64, 64)


def test_what_was_not_measured_is_said():
    run = tiny_testbed.run(LABELS, [replace(prompt, toxicity=None) for prompt in PROMPTS])
    assert "Prompt toxicity: not measured." in card(CHOICE, scored(run), run.settings, 64, 64)
