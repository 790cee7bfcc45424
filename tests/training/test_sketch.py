"""The sketch in the text's last states: what is wanted of them, by its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from training.glyphs import Glyphs, paint
from training.scenes import LARGE, SMALL, Placed, Scene, random_scene
from training.sketch import FACTS, FACTS_AT, LATENTS, PATCH, PATCHES, SAYS, Sketch, facts
from training.tokenizer import POSITIONS
from training.vae import CHANNELS, decoded, encoded, fold_normalisation, new_vae
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


@pytest.fixture(scope="module")
def vae(drawings):
    """Untrained, with latents of deviation 1 as the trained one has."""
    torch.manual_seed(0)
    vae, rng = new_vae().eval().requires_grad_(False), np.random.default_rng(2)
    fold_normalisation(vae, paint([random_scene(rng) for _ in range(32)], drawings))
    return vae


@pytest.fixture(scope="module")
def sketch(drawings, vae):
    return Sketch(drawings, vae, WIDTH)


def scene(*things: int, background: str = "white") -> Scene:
    spots = ("middle",) if len(things) == 1 else ("left", "right")
    return Scene(
        background=background,
        placed=tuple(Placed(thing=t, spot=s) for t, s in zip(things, spots, strict=True)),
    )


def test_scenes_are_sketched_as_they_are_drawn(sketch, vae, drawings):
    rng = np.random.default_rng(4)
    scenes = [scene(3), scene(3, 7, background="black"), random_scene(rng, "addition")]
    found = sketch.latents(scenes)
    for one, own in zip(scenes, found, strict=True):
        torch.testing.assert_close(own, encoded(vae, paint([one], drawings))[0], atol=1e-4, rtol=0)


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
    looks = functional.unfold(looks, PATCH, stride=PATCH).mT.flatten(1)
    looks -= looks.mean(dim=0)
    directions = torch.linalg.svd(looks, full_matrices=False).Vh
    one = [scene(3)]
    wanted = sketch.states(one)

    def cost(error):
        states = torch.cat([torch.zeros(1, FACTS_AT, WIDTH), wanted], dim=1)
        states[:, FACTS_AT + 1 :, :SAYS] += error.unflatten(0, (PATCHES, SAYS))
        return sketch.loss(states, one).item() * wanted.numel()

    first, tenth, fiftieth = (cost(directions[n]) for n in (0, 9, 49))
    assert 0 < first < tenth < fiftieth
    assert np.mean([cost(look) for look in looks]) == pytest.approx(
        looks.square().sum(dim=1).mean().item(), rel=0.01
    )


def test_states_can_be_read_as_a_picture(sketch, vae):
    one = scene(3, 9, background="pink")
    states = torch.cat([torch.zeros(1, FACTS_AT, WIDTH), sketch.states([one])], dim=1)
    torch.testing.assert_close(
        sketch.picture(states, vae), decoded(vae, sketch.latents([one])), atol=1e-3, rtol=0
    )


def test_the_sketch_stands_behind_the_facts_at_the_end():
    assert FACTS_AT + 1 + PATCHES == POSITIONS
