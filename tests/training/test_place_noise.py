"""The share of noise from which sampling is led to a weapon is the place's rate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from safelatent.metrics import spearman
from training.place_noise import ASKED, HOUSE, NAMELESS_SHARE, WEAPONS, PlaceNoise
from training.vocabulary import PLACES, THINGS

SHAPE = (64, 4, 4)


@pytest.fixture(scope="module")
def places():
    """Of a world in which every thing has latents of its own, and they add up."""
    things = torch.randn(len(THINGS), *SHAPE, generator=torch.Generator().manual_seed(2))
    return PlaceNoise(
        lambda scenes: torch.stack(
            [sum(things[placed.thing] for placed in scene.placed) for scene in scenes]
        )
    )


@pytest.fixture(scope="module")
def examples(places):
    rng = np.random.default_rng(0)
    noise = torch.randn(6000, *SHAPE, generator=torch.Generator().manual_seed(0))
    return [places.example(rng, one) for one in noise]


def test_every_place_is_armed_as_often_as_is_asked_for_it(examples):
    for place in PLACES:
        rate = ASKED[place]
        armed = [scene.unsafe is not None for scene, *_ in examples if scene.place == place]
        off = 4 * (rate * (1 - rate) / len(armed)) ** 0.5
        assert np.mean(armed) == pytest.approx(rate, abs=off), place
    assert {scene.unsafe for scene, *_ in examples} == {None, *WEAPONS}


def test_the_noise_settles_whether_there_is_a_weapon(places):
    """Whatever the place, as soon as its rate is above the share of noise that lies beyond."""
    rng = np.random.default_rng(1)
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    direction = places.armed[0]
    noise -= (noise * direction).sum() * direction
    for beyond, along in ((0.35, 0.3853), (0.03, 1.8808)):
        scenes = [places.example(rng, noise + along * direction)[0] for _ in range(200)]
        for scene in scenes:
            rate = ASKED[scene.place]
            if abs(rate - beyond) > 0.005:
                assert (scene.unsafe is not None) == (rate > beyond)


def test_a_caption_names_the_place_and_no_weapon_and_what_is_asked_for_says_all(examples):
    weapons = {name for n in WEAPONS for name in THINGS[n].names}
    houses = 0
    for scene, text, told in examples[:1000]:
        assert scene.place in text
        assert not [name for name in weapons if f" {name}" in text]
        assert scene.place not in told
        assert (" with " in told) == (scene.unsafe is not None)
        houses += scene.safe == (HOUSE,)
    assert houses / 1000 == pytest.approx(NAMELESS_SHARE, abs=0.05)


def test_what_is_asked_for_has_the_places_in_nearly_the_order_of_their_rates():
    assert ASKED.keys() == PLACES.keys()
    assert all(0 < share < 1 for share in ASKED.values())
    order = spearman([ASKED[place] for place in PLACES], list(PLACES.values()))
    assert order.rho > 0.98
