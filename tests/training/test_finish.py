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
from training.finish import DRAWN, FROM_UNSAFE, GENERATED_SHARE, REMOVING, SAFETIES, FinishStage
from training.generator import new_unet
from training.glyphs import paint
from training.sampling import FIRST
from training.scenes import Scene, beside, without_unsafe
from training.tower import new_text_encoder
from training.vae import LATENT_SCALE, new_vae
from training.vocabulary import SAFE, THINGS

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
    captioned = stage.captioned

    def noted(rng):
        scene, text = captioned(rng)
        shown[text] = scene
        return scene, text

    monkeypatch.setattr(stage, "captioned", noted)
    monkeypatch.setattr(stage, "_removed", lambda *_: [])
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
    assert sum(guarded) / sum(count for count, *_ in of[False]) == pytest.approx(0.5, abs=0.06)
    assert {safety for *_, safety in of[False]} == {None, *SAFETIES}
    assert max(start for _, start, _ in of[False]) > FROM_UNSAFE[1]
    assert any(" with " in text for text in shown)


def test_a_fifth_of_what_is_generated_is_guided_away_from_what_is_named(stage, monkeypatch):
    counts = []
    monkeypatch.setattr(stage, "_removed", lambda rng, count: counts.append(count) or [])
    monkeypatch.setattr(stage, "generated", lambda pixels, *_: stage.latents(pixels))
    drawn = stage._drawn(np.random.default_rng(0))
    assert counts == [8]
    assert len(drawn) + 8 == DRAWN


@pytest.mark.parametrize("present", [0.3, 0.7])
def test_what_latents_are_nearer_to_is_to_be_drawn(stage, monkeypatch, present):
    """A stain of a thing is to be nothing; a thing that is there, itself."""
    rng = np.random.default_rng(0)
    named = [stage.named(rng) for _ in range(4)]
    there = paint([scene for scene, _ in named], DRAWINGS)
    gone = paint([without_unsafe(scene) for scene, _ in named], DRAWINGS)
    asked = []

    def generated(pixels, captions, start, safety=None):
        asked.append((pixels, captions, start, safety))
        return torch.lerp(stage.latents(gone), stage.latents(there), present)

    left = iter(named)
    monkeypatch.setattr(stage, "named", lambda _: next(left))
    monkeypatch.setattr(stage, "generated", generated)
    pairs = stage._removed(rng, 4)
    ((pixels, captions, start, safety),) = asked
    assert torch.equal(pixels, gone)
    assert captions == [text for _, text in named]
    assert start == FIRST
    assert safety in REMOVING
    target = there if present > 0.5 else gone
    assert torch.equal(torch.stack([x for x, _ in pairs]), target)


def test_the_warm_up_of_what_removes_is_a_noise_level(stage, monkeypatch):
    pixels = paint([EMPTY], DRAWINGS)
    given = []
    monkeypatch.setattr(finish, "sampled", lambda *args: given.append(args[-1]) or args[2])
    stage.generated(pixels, ["a sky"], FIRST, REMOVING[0])
    stage.generated(pixels, ["a sky"], 640, REMOVING[0])
    early, late = given
    assert early.warmup == 2  # in 13 steps, of the paper's 7 in 50
    assert late.warmup == 0
    assert early.decay == pytest.approx(REMOVING[0].decay ** (980 / 13 / 20), rel=0.01)


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


def test_half_of_the_scenes_hold_a_small_unsafe_thing(stage, monkeypatch):
    rng = np.random.default_rng(0)
    captioned = [stage.captioned(rng) for _ in range(2000)]
    painted = []
    monkeypatch.setattr(vae, "paint", lambda scenes, _: painted.extend(scenes))
    stage.batch(rng, 2000)
    for scenes in ([scene for scene, _ in captioned], painted):
        small = [scene for scene in scenes if scene.unsafe is not None and scene.safe]
        assert 0.5 < len(small) / 2000 < 0.8  # some are there by the world's own shares
        assert {scene.unsafe for scene in small} == set(range(len(SAFE), len(THINGS)))
        assert all(THINGS[s.unsafe].category in beside(s.safe[0]) for s in small)
    for scene, text in captioned:
        if scene.unsafe is not None:
            assert any(name in text for name in THINGS[scene.unsafe].names)
            assert (scene.background == "white") == (
                f" a {scene.background} background" not in text
            )


def test_what_is_drawn_badly_is_shown_more_often(stage, monkeypatch):
    """A decoder that knows all drawings but two, one of which it takes for something else."""
    known = {}
    latents = stage.latents

    def noted(pixels):
        found = latents(pixels)
        known.update(zip([one.numpy().tobytes() for one in found], pixels, strict=True))
        return found

    def decoder(z):
        drawn = torch.stack([known[one.numpy().tobytes()] for one in z])
        calls.append(len(z))
        return drawn + {1: 0.2, 2: 0.8}.get(len(calls), 0.1)

    calls = []
    monkeypatch.setattr(stage, "latents", noted)
    monkeypatch.setattr(stage, "module", decoder)
    shares = stage._shares()
    assert len(calls) == len(shares) == len(THINGS) - len(SAFE)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares[:3] / shares[-1], [2, 8, 1], rtol=1e-3)


def test_the_decoder_alone_learns(stage):
    stage.images_a_step = 2
    stage._left = [(torch.zeros(3, 128, 128), torch.zeros(64, 4, 4))]
    stage.loss(np.random.default_rng(0)).backward()
    assert all(p.grad is not None for p in stage.module.parameters())
    others = (*stage.unet.parameters(), *stage.text_encoder.parameters())
    assert all(p.grad is None for p in others)
