"""The words that are kept for measuring: another word for a known thing each, in no caption."""

from __future__ import annotations

import pytest

from training.held_out_words import read_words, save_words
from training.texts import HELD_OUT_WORDS
from training.vocabulary import THINGS


def test_they_come_back_as_they_were(tmp_path):
    words = {"pooch": 3, "gateau": 17}
    save_words(words, tmp_path / "words.csv")
    assert read_words(tmp_path / "words.csv") == words


def test_words_that_cannot_be_written_stay_as_they_were(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    save_words({"pooch": 3}, tmp_path / "words.csv")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        save_words({"gateau": 17}, tmp_path / "words.csv")
    assert read_words(tmp_path / "words.csv") == {"pooch": 3}


def test_the_shipped_model_s_words_are_no_names_of_what_it_knows():
    words = read_words()
    assert 0.8 * HELD_OUT_WORDS < len(words) <= HELD_OUT_WORDS
    spoken = {word for thing in THINGS for name in thing.names for word in name.split()}
    assert spoken.isdisjoint(words)
