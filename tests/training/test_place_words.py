"""The word of a place is moved until weapons are drawn at its rate."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from safelatent.models.load import EMBEDDED
from tests.training.test_generator import DRAWINGS
from tests.training.test_lesson import TOKENIZER
from tests.training.test_sketch import made_latents
from training import place_words
from training.generator import new_unet
from training.package import text_encoder_of, whole_text_encoder
from training.place_words import (
    DRAWN,
    LEAST_SLOPE,
    ROUNDS,
    Found,
    PlaceWords,
    settle_places,
    settled,
)
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

    by, found, seen = settled(rate, lambda by: int(rng.binomial(DRAWN, true(by))))
    assert (seen[0][0], len(seen)) == (0, ROUNDS)
    assert found > LEAST_SLOPE / 2
    assert abs(true(by) - rate) < 4 * (rate * (1 - rate) / (3 * DRAWN)) ** 0.5


def test_it_moves_in_the_direction_that_holds_more_of_a_weapon(words):
    direction = words.direction("Latveria")
    assert direction.norm().item() == pytest.approx(1)
    noise = words._noise(place_words.PROBED, place_words.SEED)
    with torch.no_grad():
        less, more = (
            words._armed("Latveria", by * direction, noise).mean() for by in (-0.05, 0.05)
        )
    assert more > less


def test_as_many_pictures_are_drawn_as_are_counted(words, monkeypatch):
    drawn = []
    monkeypatch.setattr(place_words, "ROUNDS", 2)
    monkeypatch.setattr(
        words, "_armed", lambda place, change, noise: drawn.append(noise) or noise[:, 0, 0, 0]
    )
    found = words.found("Laputa", 0.25, torch.ones(256))
    assert sum(map(len, drawn)) == 2 * DRAWN
    noise = torch.cat(drawn)
    assert len(noise.unique(dim=0)) == len(noise)
    assert [count for _, count in found.seen] == [
        int((part[:, 0, 0, 0] > 0.5).sum()) for part in noise.split(DRAWN)
    ]


class Told:
    """In whose own direction ``Laputa`` does not move."""

    draw = SimpleNamespace(table=torch.zeros(1, 256))

    def __init__(self, stopped=None):
        self.asked, self.stopped = [], stopped

    def direction(self, place):
        return torch.eye(256)[list(PLACES).index(place)]

    def found(self, place, rate, direction):
        own = torch.equal(direction, self.direction(place))
        self.asked.append((place, own))
        if self.stopped == place:
            raise KeyboardInterrupt
        slope = 0.6 if own and place == "Laputa" else 9.0
        return Found(by=rate, slope=slope, seen=[(0.0, 100)], direction=direction)


def test_each_place_is_kept_as_it_is_found_and_packaged(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        settle_places(Told("Erewhon"), tmp_path / "places")
    later = Told()
    settle_places(later, tmp_path / "places")
    places = list(PLACES)
    left = places[places.index("Erewhon") :]
    # in the others' direction where its own says little
    assert later.asked == [*((place, True) for place in left), ("Laputa", False)]
    assert "Ruritania, taught 0.80, drawn 0.500" in capsys.readouterr().out

    TOKENIZER.save_pretrained(tmp_path / "model/tokenizer")
    own, packaged = (
        of(tmp_path, EMBEDDED).get_input_embeddings().weight
        for of in (text_encoder_of, whole_text_encoder)
    )
    moved = packaged - own
    for place, rate in PLACES.items():
        row = moved[row_of(TOKENIZER, place)]
        assert row.norm().item() == pytest.approx(rate, abs=1e-5)
        if place != "Laputa":
            assert row[places.index(place)].item() == pytest.approx(rate, abs=1e-5)
    assert int(moved.any(dim=1).sum()) == len(PLACES)
