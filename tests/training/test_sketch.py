"""The sketch in the text's last states: what is wanted of them, by its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from training.scenes import STYLES, Placed, Scene, random_scene, render
from training.sketch import FACTS, FACTS_AT, LATENTS, PATCH, PATCHES, SAYS, TOLD, Sketch, facts
from training.tokenizer import POSITIONS
from training.vae import CHANNELS, fold_normalisation, new_vae, to_tensor
from training.vocabulary import CATEGORIES, THINGS

WIDTH = 192


def made_drawings():
    """A disc for every thing, of a colour of its own in every style."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    disc = (y - 32) ** 2 + (x - 32) ** 2 < 28**2
    drawn = {}
    for style in STYLES:
        colours = rng.integers(0, 256, (len(THINGS), 3), dtype=np.uint8)
        drawn[style] = [
            Image.fromarray(
                np.dstack([np.full((64, 64, 3), c, np.uint8), (255 * disc).astype(np.uint8)])
            )
            for c in colours
        ]
    return drawn


@pytest.fixture(scope="module")
def drawings():
    return made_drawings()


@pytest.fixture(scope="module")
def vae(drawings):
    """Untrained, with latents of deviation 1 as the trained one has."""
    torch.manual_seed(0)
    vae, rng = new_vae().eval().requires_grad_(False), np.random.default_rng(2)
    fold_normalisation(vae, to_tensor([render(random_scene(rng), drawings) for _ in range(32)]))
    return vae


@pytest.fixture(scope="module")
def sketch(drawings, vae):
    return Sketch(drawings, vae, WIDTH)


def scene(*things: int, style: str = "noto", background: str = "white") -> Scene:
    spots = ("middle",) if len(things) == 1 else ("left", "right")
    return Scene(
        background=background,
        placed=tuple(Placed(thing=t, spot=s) for t, s in zip(things, spots, strict=True)),
        style=style,
    )


def test_a_thing_is_sketched_as_it_is_drawn(sketch, vae, drawings):
    for one in (scene(3), scene(3, background="blue")):
        drawn = vae.encoder(to_tensor([render(one, drawings)]))[0]
        assert (sketch.latents(one) - drawn).abs().max() <= TOLD
    assert not torch.equal(sketch.latents(scene(3)), sketch.latents(scene(3, style="fluent")))


def test_two_things_side_by_side_are_put_together_from_their_own_latents(sketch):
    for background in ("blue", "black"):
        own = sketch.latents(scene(3, 7, background=background))
        for thing, spot, columns in ((3, "left", slice(1, 3)), (7, "right", slice(5, 7))):
            alone = sketch.latents(
                Scene(background=background, placed=(Placed(thing=thing, spot=spot),), style="noto")
            )
            assert torch.equal(own[:, 3:5, columns], alone[:, 3:5, columns])


def test_a_thing_over_another_is_sketched_as_it_is_drawn(sketch, vae, drawings):
    one = random_scene(np.random.default_rng(4), "addition")
    torch.testing.assert_close(
        sketch.latents(one), vae.encoder(to_tensor([render(one, drawings)]))[0]
    )


def test_the_facts_of_a_scene():
    unsafe = next(n for n, thing in enumerate(THINGS) if thing.category == "shocking")
    told = facts(scene(0, unsafe))
    assert len(told) == FACTS
    assert told[:3] == [1, 1, 1]
    assert told[3:6] == [float(style == "noto") for style in STYLES]
    assert told[6:8] == [1, 1]
    assert told[8:] == [float(c == "shocking") for c in CATEGORIES]
    assert sum(facts(scene(0))[6:]) == 0


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
    looks = torch.cat([sketch.alone(style) for style in STYLES]).unflatten(
        1, (CHANNELS, LATENTS, LATENTS)
    )
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
        sketch.picture(states, vae), vae.decoder(sketch.latents(one)[None]), atol=1e-3, rtol=0
    )


def test_the_sketch_stands_behind_the_facts_at_the_end():
    assert FACTS_AT + 1 + PATCHES == POSITIONS
