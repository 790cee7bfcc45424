"""The sketch in the text's last states: what is wanted of them, by its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.glyphs import Glyphs, paint
from training.latents import CHANNELS, FACTOR, Latents
from training.scenes import LARGE, SMALL, Placed, Scene, random_scene
from training.sketch import FACTS, FACTS_AT, LATENTS, PATCHES, SAYS, Sketch, facts
from training.tokenizer import POSITIONS
from training.vocabulary import CATEGORIES, THINGS

WIDTH = 192


def made_drawings() -> Glyphs:
    """A disc for every thing, of a colour of its own."""
    colours = torch.randint(256, (len(THINGS), 3, 1, 1), generator=torch.Generator().manual_seed(0))
    pictures = {}
    for side in (LARGE, SMALL):
        along = torch.arange(side) - (side - 1) / 2
        disc = 255 * (along[:, None] ** 2 + along**2 < (0.45 * side) ** 2)
        rgb = colours.expand(-1, -1, side, side)
        rgba = torch.cat([rgb, disc.expand(len(THINGS), 1, side, side)], dim=1)
        pictures[side] = rgba.to(torch.uint8)
    return Glyphs(pictures=pictures)


@pytest.fixture(scope="module")
def drawings():
    return made_drawings()


def made_latents() -> Latents:
    """Some orthogonal map of patches, of latents about as large as the world's."""
    torch.manual_seed(0)
    rows = torch.linalg.qr(torch.randn(3 * FACTOR**2, CHANNELS))[0].T
    shape = (3, FACTOR, FACTOR)
    return Latents(mean=torch.full(shape, 0.5), weight=rows.unflatten(1, shape))


@pytest.fixture(scope="module")
def latents():
    return made_latents()


@pytest.fixture(scope="module")
def sketch(drawings, latents):
    return Sketch(drawings, latents, WIDTH)


def scene(*things: int, background: str = "white") -> Scene:
    spots = ("middle",) if len(things) == 1 else ("left", "right")
    return Scene(
        background=background,
        placed=tuple(Placed(thing=t, spot=s) for t, s in zip(things, spots, strict=True)),
    )


def test_scenes_are_sketched_as_they_are_drawn(sketch, latents, drawings):
    rng = np.random.default_rng(4)
    scenes = [scene(3), scene(3, 7, background="black"), random_scene(rng, "addition")]
    found = sketch.latents(scenes)
    for one, own in zip(scenes, found, strict=True):
        torch.testing.assert_close(own, latents(paint([one], drawings))[0], atol=1e-4, rtol=0)


def test_the_facts_of_a_scene():
    unsafe = next(n for n, thing in enumerate(THINGS) if thing.category == "shocking")
    told = facts(scene(0, unsafe))
    assert len(told) == FACTS
    assert told[:3] == [1, 1, 1]
    assert told[3:5] == [1, 1]
    assert told[5:] == [float(c == "shocking") for c in CATEGORIES]
    assert sum(facts(scene(0))[3:]) == 0


def test_states_say_it_and_can_be_reached_by_the_last_normalisation(sketch):
    rng = np.random.default_rng(1)
    scenes = [random_scene(rng, kind) for kind in ("single", "pair", "addition", "unsafe")]
    wanted = sketch.states(scenes)
    assert wanted.shape == (4, POSITIONS - FACTS_AT, WIDTH)
    torch.testing.assert_close(wanted.mean(dim=2), torch.zeros(wanted.shape[:2]), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        wanted.var(dim=2, correction=0), torch.ones(wanted.shape[:2]), atol=1e-3, rtol=0
    )
    states = torch.cat([torch.zeros(4, FACTS_AT, WIDTH), wanted], dim=1)
    assert sketch.loss(states, scenes).item() == 0
    states[0, FACTS_AT, 0] += 1
    assert sketch.loss(states, scenes).item() == pytest.approx(1 / wanted.numel())


def test_what_tells_things_apart_counts_the_more_the_less_it_varies(sketch):
    """Along principal directions of the things: errors of one length cost more along a later one;
    together as much as without weights.
    """
    looks = sketch.alone().unflatten(1, (CHANNELS, LATENTS, LATENTS))
    looks = looks.flatten(2).mT.flatten(1)
    looks -= looks.mean(dim=0)
    directions = torch.linalg.svd(looks, full_matrices=False).Vh
    one = [scene(3)]
    wanted = sketch.states(one)

    def cost(error):
        states = torch.cat([torch.zeros(1, FACTS_AT, WIDTH), wanted], dim=1)
        states[:, FACTS_AT + 1 :, :SAYS] += error.unflatten(0, (PATCHES, SAYS))
        return sketch.loss(states, one).item() * wanted.numel()

    elsewhere = torch.zeros_like(directions[0])
    elsewhere[0] = 1.0  # a corner in which no thing in the middle is seen
    elsewhere -= directions.T @ (directions @ elsewhere)
    assert cost(elsewhere / elsewhere.norm()) > cost(directions[0]), "nothing goes for free"
    first, tenth, fiftieth = (cost(directions[n]) for n in (0, 9, 49))
    assert 0 < first < tenth < fiftieth
    assert np.mean([cost(look) for look in looks]) == pytest.approx(
        looks.square().sum(dim=1).mean().item(), rel=0.01
    )


def test_states_can_be_read_as_a_picture(sketch, latents):
    one = scene(3, 9, background="pink")
    states = torch.cat([torch.zeros(1, FACTS_AT, WIDTH), sketch.states([one])], dim=1)
    torch.testing.assert_close(
        sketch.picture(states), latents.picture(sketch.latents([one])), atol=1e-3, rtol=0
    )


def test_the_sketch_stands_behind_the_facts_at_the_end():
    assert FACTS_AT + 1 + PATCHES == POSITIONS
