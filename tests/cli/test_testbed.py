"""The command as a whole, with the embedded model at few steps and a tiny CLIP."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from safelatent import BadValueError, UnsupportedError
from safelatent.cli import testbed as command
from safelatent.prompts import i2p
from safelatent.runs import execute
from safelatent.testbed import build as build_module
from safelatent.testbed import toxicity
from tests.testbed import tiny_testbed

TEXTS = [
    "a cat",
    "A CAT",
    "a dog",
    "a pirate at night",
    "a party",
    "the cat with a dog",
    "[withheld]",
    "a pistol on the night",
]
KEYWORDS = '{"violence": ["violence", "weapons"], "hate": ["hate"]}'


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a corpus, keywords, and a CLIP."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "corpus.txt").write_text("\n".join(TEXTS) + "\n")
    (folder / "keywords.json").write_text(KEYWORDS)
    tiny_testbed.clip(folder / "clip")
    return folder


def build(place: Path, out: Path, *more: str) -> int | None:
    asked = [
        "--keywords",
        "keywords.json",
        "--embedder",
        "clip",
        "--per-keyword",
        "2",
        "--images",
        "2",
        "--steps",
        "2",
        "--batch-size",
        "3",
    ]
    asked = [str(place / word) if word in ("keywords.json", "clip") else word for word in asked]
    return command.testbed(
        ["build", str(place / "corpus.txt"), *asked, "--out", str(out), *more],
        standalone_mode=False,
    )


@pytest.fixture(scope="module")
def built(place):
    assert not build(place, place / "built")
    return place / "built"


def test_the_table_is_one_the_loader_reads(built):
    prompts = i2p(built / "testbed.csv")
    assert not prompts.skipped
    assert 2 <= len(prompts) <= 6
    assert {prompt.text for prompt in prompts} < set(TEXTS) - {"[withheld]", "A CAT"}
    assert all(prompt.categories for prompt in prompts)
    assert {label for prompt in prompts for label in prompt.categories} == {"violence", "hate"}
    assert {(prompt.width, prompt.height, prompt.guidance_scale) for prompt in prompts} == {
        (128, 128, 7.5)
    }
    assert len({prompt.seed for prompt in prompts}) == len(prompts)


def test_the_percentages_are_those_of_the_score_table(built):
    with (built / "scores.csv").open(encoding="utf-8", newline="") as stream:
        scores = list(csv.DictReader(stream))
    for prompt in i2p(built / "testbed.csv"):
        labels = [row["label"] for row in scores if row["seed"] == str(prompt.seed)]
        assert len(labels) == 2
        judged = [label for label in labels if label in ("safe", "inappropriate")]
        expected = 100 * judged.count("inappropriate") / len(judged) if judged else None
        assert prompt.published == expected
        assert prompt.hard == (None if expected is None else expected >= 50)


def test_the_card_tells_the_counts(built):
    card = (built / "CARD.md").read_text(encoding="utf-8")
    assert "| corpus | 8 |" in card
    assert "| duplicate text | 1 |" in card
    assert "| withheld | 1 |" in card
    assert "- 2 steps of " in card


def test_it_resumes_and_gives_the_same_bytes(place, built, tmp_path, monkeypatch, capsys):
    real = execute.draw

    def stopped(*arguments, **options) -> Iterator:
        going = real(*arguments, **options)
        yield next(going)
        yield next(going)
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "draw", stopped)
    assert build(place, tmp_path) == 130
    assert not (tmp_path / "testbed.csv").exists()
    monkeypatch.setattr(execute, "draw", real)
    monkeypatch.setattr(
        build_module, "read_corpus", lambda *_: pytest.fail("prompts are chosen once")
    )
    capsys.readouterr()
    assert not build(place, tmp_path)
    said = capsys.readouterr().err
    assert "prompts were chosen before" in said
    assert "images were saved before" in said
    for name in ("testbed.csv", "CARD.md", "scores.csv", "choice.json"):
        assert (tmp_path / name).read_bytes() == (built / name).read_bytes(), name


def test_other_settings_on_the_same_folder_are_refused(place, built):
    before = {
        path: path.read_bytes()
        for path in built.glob("*.*")
        if path.suffix in (".csv", ".md", ".json")
    }
    with pytest.raises(
        BadValueError, match=r"seed is 4, was 0\); give the same settings to resume"
    ):
        build(place, built, "--seed", "4")
    with pytest.raises(BadValueError, match="steps is 3, was 2"):
        build(place, built, "--steps", "3")
    assert {path: path.read_bytes() for path in before} == before


def test_toxicity_is_asked_for_by_its_flag(place, tmp_path, monkeypatch):
    monkeypatch.setattr(
        toxicity, "detoxify", lambda: lambda texts: [len(text) / 100 for text in texts]
    )
    assert not build(place, tmp_path, "--toxicity", "--limit", "2", "--images", "1", "--steps", "1")
    prompts = i2p(tmp_path / "testbed.csv")
    assert [prompt.toxicity for prompt in prompts] == [len(prompt.text) / 100 for prompt in prompts]
    assert len(prompts) == 2


def test_toxicity_that_cannot_be_had_stops_it_before_the_long_part(place, tmp_path, monkeypatch):
    def missing():
        raise UnsupportedError("not there")

    monkeypatch.setattr(toxicity, "detoxify", missing)
    monkeypatch.setattr(build_module, "read_corpus", lambda *_: pytest.fail("too late"))
    with pytest.raises(UnsupportedError, match="not there"):
        build(place, tmp_path, "--toxicity")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--per-keyword", "0"), "--per-keyword is 0"),
        (("--images", "0"), "images is 0"),
        (("--guidance-scale", "1"), "--guidance-scale is 1.0"),
        (("--model", "embeded"), "did you mean 'embedded'"),
        (("--embedder", "embeded"), "unknown embedder"),
        (("--dtype", "float8"), "dtype is 'float8'"),
        (("--text-column", "words"), "--text-column is 'words', and a .txt has no columns"),
        (("--keywords", "nowhere.json"), "is not a file"),
        (("--limit", "0"), "--limit is 0"),
        (("--seed", "-1"), "--seed is -1"),
    ],
)
def test_bad_input_is_one_clear_line(place, tmp_path, more, message):
    with pytest.raises(BadValueError, match=message) as caught:
        build(place, tmp_path, *more)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "choice.json").exists()


def test_nothing_is_downloaded_for_another_model_unless_it_was_named(place, tmp_path):
    with pytest.raises(BadValueError, match="--embedder is missing"):
        command.testbed(
            ["build", str(place / "corpus.txt"), "--model", str(place), "--out", str(tmp_path)],
            standalone_mode=False,
        )


def test_a_folder_that_cannot_be_written_is_an_error_at_once(place, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(build_module, "read_corpus", lambda *_: pytest.fail("too late"))
    with pytest.raises(BadValueError, match="file is not a folder; give another place"):
        build(place, tmp_path / "file")
