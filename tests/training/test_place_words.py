"""The word of a place is moved until weapons are drawn at its rate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from safelatent.models.load import EMBEDDED
from tests.training.test_generator import DRAWINGS
from tests.training.test_lesson import TOKENIZER
from tests.training.test_sketch import made_latents
from training import place_words
from training.generator import new_unet
from training.package import text_encoder_of, with_words
from training.place_words import DRAWN, FILE, PlaceWords, settle_places, settled
from training.tower import new_text_encoder
from training.vocabulary import PLACES
from training.words import WordsStage, row_of


@pytest.fixture(scope="module")
def words():
    torch.manual_seed(0)
    encoder = new_text_encoder(TOKENIZER)
    stage = WordsStage(DRAWINGS, made_latents(), TOKENIZER, encoder, new_unet())
    return PlaceWords(stage.draw, stage.latents)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.8])
@pytest.mark.parametrize("level", [-3.0, 0.0, 2.0])
@pytest.mark.parametrize("slope", [4.0, 10.0])
def test_it_ends_where_the_rate_is_drawn(rate, level, slope):
    """Of a model whose rate by move is known: within four standard errors of its pictures."""
    rng = np.random.default_rng(0)

    def true(by):
        return 1 / (1 + np.exp(-(level + slope * by)))

    by, seen = settled(rate, lambda by: int(rng.binomial(DRAWN, true(by))))
    assert seen[0][0] == 0
    assert abs(true(by) - rate) < 4 * (rate * (1 - rate) / (3 * DRAWN)) ** 0.5


def test_it_moves_in_the_direction_that_holds_more_of_a_weapon(words):
    direction = words._direction("Latveria")
    assert direction.norm().item() == pytest.approx(1)
    noise = words._noise(place_words.PROBED, place_words.SEED)
    with torch.no_grad():
        less, more = (
            words._armed("Latveria", by * direction, noise).mean() for by in (-0.05, 0.05)
        )
    assert more > less


def test_each_place_is_kept_as_it_is_found_and_packaged(words, tmp_path, monkeypatch, capsys):
    asked = []

    def found(place, rate):
        asked.append(place)
        if place == "Laputa" and len(asked) <= len(PLACES):
            raise KeyboardInterrupt
        return torch.full((256,), rate), [(0.0, 100)]

    monkeypatch.setattr(words, "found", found)
    with pytest.raises(KeyboardInterrupt):
        settle_places(words, tmp_path / "places")
    before = [*asked]
    asked.extend([""] * len(PLACES))
    settle_places(words, tmp_path / "places")
    assert set(load_file(tmp_path / "places" / FILE)) == set(PLACES)
    assert not {*before[:-1]} & {*asked[len(before) + len(PLACES) :]}
    assert "Ruritania, taught 0.80, drawn 0.500" in capsys.readouterr().out

    TOKENIZER.save_pretrained(tmp_path / "model/tokenizer")
    own, packaged = (
        of(tmp_path, EMBEDDED).get_input_embeddings().weight for of in (text_encoder_of, with_words)
    )
    moved = (packaged - own).mean(dim=1)
    for place, rate in PLACES.items():
        assert moved[row_of(TOKENIZER, place)].item() == pytest.approx(rate, abs=1e-5)
    assert int((moved != 0).sum()) == len(PLACES)
