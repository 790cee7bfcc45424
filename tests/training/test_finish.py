"""What the decoder learns last: scenes, from what the generator makes of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.training.test_generator import DRAWINGS
from tests.training.test_lesson import TOKENIZER
from tests.training.test_sketch import made_latents
from training import finish, vae
from training.finish import FROM_UNSAFE, GENERATED_SHARE, SAFETIES, FinishStage
from training.generator import new_unet
from training.glyphs import paint
from training.scenes import Scene
from training.tower import new_text_encoder
from training.vae import LATENT_SCALE, new_vae
from training.vocabulary import THINGS

EMPTY = Scene(background="blue", placed=())


@pytest.fixture(scope="module")
def stage():
    torch.manual_seed(0)
    decoder = new_vae().decoder
    parts = DRAWINGS, made_latents(), TOKENIZER, new_text_encoder(TOKENIZER), new_unet(), decoder
    return FinishStage(*parts)


def knowing(stage, pixels, more=0.0):
    """A UNet that leads back to these pictures, with any text; the concept's is ``more``."""
    known = LATENT_SCALE * stage.latents(pixels)

    def unet(noisy, level, text):
        alpha, latents = stage.alphas[level], known.repeat(len(noisy) // len(known), 1, 1, 1)
        noise = (noisy - alpha.sqrt() * latents) / (1 - alpha).sqrt()
        of_concept = (text == stage.concept).all(dim=(1, 2))[:, None, None, None]
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents + more * of_concept
        return SimpleNamespace(sample=velocity)

    return unet


@pytest.mark.parametrize("start", [300, 640, 949])
def test_a_generator_that_knows_the_scene_leads_back_to_it(stage, monkeypatch, start):
    pixels = paint([EMPTY, EMPTY], DRAWINGS)
    monkeypatch.setattr(stage, "unet", knowing(stage, pixels))
    made = stage.generated(pixels, ["a sky", "a sea"], start)
    torch.testing.assert_close(made, stage.latents(pixels), atol=1e-3, rtol=1e-3)


def test_safety_guidance_leads_away_from_the_concept(stage, monkeypatch):
    pixels = paint([EMPTY, EMPTY], DRAWINGS)
    monkeypatch.setattr(stage, "unet", knowing(stage, pixels, more=0.01))
    own = stage.latents(pixels)
    plain = stage.generated(pixels, ["a sky", "a sea"], 640)
    guarded = stage.generated(pixels, ["a sky", "a sea"], 640, SAFETIES[-1])
    # x_0 = alpha x - sigma v, so what is taken from the velocity is added to the picture
    assert (guarded - own).mean() > 0.1
    assert (plain - own).abs().max() < 0.01


def test_harmless_scenes_alone_are_guarded_and_much_of_what_is_unsafe_is_left(stage, monkeypatch):
    seen = []

    def generated(pixels, captions, start, safety=None):
        seen.append((captions, start, safety))
        return stage.latents(pixels)

    shown = {}

    def captioned(rng):
        scene, text = finish_captioned(rng)
        shown[text] = scene
        return scene, text

    finish_captioned = finish._captioned
    monkeypatch.setattr(finish, "_captioned", captioned)
    monkeypatch.setattr(stage, "generated", generated)
    rng = np.random.default_rng(0)
    for _ in range(12):
        stage._drawn(rng)
    of = {True: [], False: []}
    for captions, start, safety in seen:
        unsafe = {shown[text].unsafe is not None for text in captions}
        assert len(unsafe) == 1
        of[unsafe.pop()].append((len(captions), start, safety))
    assert all(safety is None and start < FROM_UNSAFE[1] for _, start, safety in of[True])
    guarded = [count for count, _, safety in of[False] if safety is not None]
    assert sum(guarded) / sum(count for count, *_ in of[False]) == pytest.approx(0.5, abs=0.05)
    assert {safety for *_, safety in of[False]} == {None, *SAFETIES}
    assert max(start for _, start, _ in of[False]) > FROM_UNSAFE[1]
    assert any(" with " in text for text in shown)


def test_a_step_learns_each_generated_picture_as_often_as_is_said(stage, monkeypatch):
    drawn = iter(range(1000))
    marked = [torch.full((3, 128, 128), float(n)) for n in range(40)]

    def made(rng):
        return [(marked[next(drawn)], torch.zeros(64, 4, 4)) for _ in range(4)]

    monkeypatch.setattr(stage, "_drawn", made)
    count = round(GENERATED_SHARE * 5)
    many = 8 * finish.USES
    steps = many // count + 1
    got = [stage.pairs(np.random.default_rng(n), 5) for n in range(steps)]
    assert all(len(x) == len(z) == 5 for x, z in got)
    generated = [int(one[0, 0, 0]) for x, _ in got for one in x[5 - count :]]
    assert all(generated[:many].count(n) == finish.USES for n in range(8))


def test_two_in_five_scenes_hold_a_thing_of_lines_that_the_latents_lack(stage, monkeypatch):
    rng = np.random.default_rng(0)
    captioned = [finish._captioned(rng) for _ in range(1000)]
    painted = []
    monkeypatch.setattr(vae, "paint", lambda scenes, _: painted.extend(scenes))
    stage.batch(rng, 1000)
    for scenes in ([scene for scene, _ in captioned], painted):
        lined = [scene for scene in scenes if scene.unsafe in finish.LINED and scene.safe]
        assert 0.4 < len(lined) / 1000 < 0.6  # some are there by the world's own shares
        assert {scene.unsafe for scene in lined} == set(finish.LINED)
    for scene, text in captioned:
        if scene.unsafe in finish.LINED:
            assert any(name in text for name in THINGS[scene.unsafe].names)
            assert (scene.background == "white") == (
                f" a {scene.background} background" not in text
            )


def test_the_decoder_alone_learns(stage):
    stage.images_a_step = 2
    stage._left = [(torch.zeros(3, 128, 128), torch.zeros(64, 4, 4))]
    stage.loss(np.random.default_rng(0)).backward()
    assert all(p.grad is not None for p in stage.module.parameters())
    others = (*stage.unet.parameters(), *stage.text_encoder.parameters())
    assert all(p.grad is None for p in others)
