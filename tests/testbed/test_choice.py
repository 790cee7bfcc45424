from __future__ import annotations

import json

import pytest

from safelatent import BadValueError
from safelatent.prompts import PromptSet
from safelatent.runs import RunError
from safelatent.testbed.choice import (
    FILE,
    Choice,
    ChoiceSettings,
    Search,
    inputs_of,
    read_choice,
    write_choice,
)
from safelatent.testbed.corpus import sources_of
from safelatent.testbed.embed import load_embedder
from safelatent.testbed.keywords import Keyword
from tests.testbed import tiny_testbed

INPUTS = {
    "seed": 0,
    "guidance_scale": 7.5,
    "corpora": {"c": "00"},
    "limit": None,
    "keywords": [["hate", "x"]],
}
PROMPTS = (
    tiny_testbed.prompt(
        0, text='quotes " and \u2028 and \r\n and 日本 \U0001f600', categories=("hate", "sexual")
    ),
    tiny_testbed.prompt(1, toxicity=0.25, seed=2**32 - 1),
)
CHOICE = Choice(
    inputs=INPUTS,
    rows={"c": 5},
    prompts=PromptSet(name="testbed", prompts=PROMPTS, rows=5, skipped={"empty": 3}),
    similarities={"p-0": {"hate": 0.30000001192092896, "sexual": 0.1}, "p-1": {"violence": 0.2}},
    searches=(Search(category="hate", text="x", count=1, highest=0.3, lowest=0.3),),
    cut=2,
)


def test_what_is_written_is_read(tmp_path):
    assert read_choice(tmp_path, INPUTS) is None
    write_choice(tmp_path / "new", CHOICE)
    found = read_choice(tmp_path / "new", INPUTS)
    assert found == CHOICE
    assert found.prompts.digest == CHOICE.prompts.digest


def test_other_inputs_are_refused_and_named(tmp_path):
    write_choice(tmp_path, CHOICE)
    with pytest.raises(
        BadValueError,
        match=r"\(seed is 1, was 0; limit is 3, was null\); give the same settings to resume",
    ):
        read_choice(tmp_path, INPUTS | {"seed": 1, "limit": 3})


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda _: "[]",
        lambda _: "",
        lambda text: text.replace("p-1", "p-0"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, damage):
    write_choice(tmp_path, CHOICE)
    text = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(damage(text))
    with pytest.raises(BadValueError, match=r"damaged|two prompts have the same id") as caught:
        read_choice(tmp_path, INPUTS)
    assert "\n" not in str(caught.value)


def test_another_versions_file_is_refused(tmp_path):
    write_choice(tmp_path, CHOICE)
    values = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(values | {"format": 99}))
    with pytest.raises(BadValueError, match="was written by another version"):
        read_choice(tmp_path, INPUTS)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        write_choice(tmp_path / "file", CHOICE)


def test_inputs_are_plain_and_tell_apart_what_determines_a_choice(tmp_path):
    (tmp_path / "c.txt").write_text("a cat\n")
    embedder = load_embedder(str(tiny_testbed.clip(tmp_path / "clip")))

    def inputs(words=("x",), toxicity=None, column=None, **settings):
        keywords = [Keyword(category="hate", text=word) for word in words]
        return inputs_of(
            sources_of([tmp_path / "c.txt"]),
            column,
            keywords,
            embedder,
            ChoiceSettings(**settings),
            toxicity,
        )

    first = inputs()
    assert json.loads(json.dumps(first)) == first == inputs()
    others = [
        inputs(("y",)),
        inputs(toxicity="some"),
        inputs(column="b"),
        inputs(seed=1),
        inputs(per_keyword=3),
        inputs(limit=2),
    ]
    (tmp_path / "c.txt").write_text("a dog\n")
    others.append(inputs())
    assert all(other != first for other in others)
