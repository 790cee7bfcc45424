"""What is asked for where the sampler ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from safelatent.concepts import DEFAULT_CONCEPT
from safelatent.guidance import MAX, STRONG
from tests.training.test_lesson import POOL, TOKENIZER
from tests.training.test_sketch import made_drawings, made_latents
from training import ending
from training.ending import CERTAIN, EndingStage, Task, guarded_task, plain_task
from training.generator import new_unet
from training.scenes import on_white
from training.tower import new_text_encoder
from training.vae import LATENT_SCALE
from training.vocabulary import INSTEAD, SAFE, THINGS, article


@pytest.fixture
def stage(monkeypatch):
    torch.manual_seed(0)
    for name, few in {"BATCHES": (2, 2), "KEPT": 1, "STEPS": (2, 3)}.items():
        monkeypatch.setattr(ending, name, few)
    encoder = new_text_encoder(TOKENIZER)
    return EndingStage(
        made_drawings(), made_latents(), TOKENIZER, encoder, encoder, POOL, new_unet()
    )


def _named(text, thing):
    return any(name in text for name in THINGS[thing].names)


def test_a_caption_names_all_of_its_scene():
    rng = np.random.default_rng(0)
    kinds = set()
    for task in (plain_task(rng) for _ in range(200)):
        for one in task.scene.placed:
            assert _named(task.caption, one.thing)
        white = task.scene.background == "white"
        assert white or f"{task.scene.background} background" in task.caption
        assert task.concept == ""
        kinds.add((len(task.scene.placed), task.scene.unsafe is None))
    assert kinds == {(1, True), (2, True), (2, False)}


def test_guided_away_from_a_part_the_rest_is_asked_for():
    rng = np.random.default_rng(1)
    gone = absent = unsafe = whole = instead = 0
    for task in (guarded_task(rng) for _ in range(300)):
        assert task.scene.unsafe is None, "nothing unsafe is asked for under guidance"
        if not all(_named(task.caption, one.thing) for one in task.scene.placed):
            (one,) = task.scene.placed
            name = next(u for u, safe in INSTEAD.items() if safe == THINGS[one.thing].names[0])
            assert _named(task.caption, next(n for n, t in enumerate(THINGS) if name in t.names))
            instead += 1
        thing = next((n for n, one in enumerate(THINGS) if task.concept in one.names), None)
        if thing is None:  # terms
            whole += task.concept == str(DEFAULT_CONCEPT)
            unsafe += any(_named(task.caption, n) for n in range(len(SAFE), len(THINGS)))
            continue
        assert thing not in task.scene.safe
        assert len(task.scene.placed) == (1 if _named(task.caption, thing) else 2)
        gone, absent = gone + (len(task.scene.placed) == 1), absent + (len(task.scene.placed) == 2)
    assert min(gone, absent, unsafe, whole, instead) > 10


def test_the_error_is_that_of_the_picture_at_the_end(stage, monkeypatch):
    rng, tasks = np.random.default_rng(0), [Task(caption="a cat", scene=on_white(3))] * 2
    wanted = stage.latents([task.scene for task in tasks])

    def error(made):
        monkeypatch.setattr(ending, "sampled", lambda *_: made)
        return stage._error(rng, tasks).item()

    assert error(wanted) == pytest.approx(CERTAIN**0.5)
    assert error(wanted + LATENT_SCALE) == pytest.approx((1 + CERTAIN) ** 0.5)
    assert error(wanted + 4 * LATENT_SCALE) == pytest.approx((16 + CERTAIN) ** 0.5)


@pytest.mark.parametrize(("draw", "settings"), [(0.4, STRONG), (0.6, MAX)])
def test_the_way_is_guided_away_from_the_concept(stage, monkeypatch, draw, settings):
    seen = []
    monkeypatch.setattr(
        ending, "sampled", lambda unet, alphas, noise, *given: seen.append(given) or noise
    )

    class Drawn:
        def random(self):
            return draw

        def integers(self, low, high):
            return low

    task = Task(caption="a cat with a bomb", scene=on_white(3), concept="weapons")
    stage._error(Drawn(), [task])
    stage._error(Drawn(), [Task(caption="a cat", scene=on_white(3))])
    (levels, texts, safety), (_, plain, none) = seen
    assert len(levels) == ending.STEPS[0] + 1
    assert safety.scale == settings.scale
    assert torch.equal(texts[2], stage.states(["weapons"]))
    assert (len(plain), none) == (2, None)


def test_it_learns_through_all_steps_and_keeps_what_leaves_doubts(stage):
    rng = np.random.default_rng(0)
    stage.loss(rng).backward()
    moved = [one.grad is not None and one.grad.abs().sum() > 0 for one in stage.unet.parameters()]
    assert sum(moved) > 0.9 * len(moved)
    kept = [stage._kept(rng) for _ in range(200)]
    assert any(caption in POOL.texts for _, caption in kept)
    assert any(caption.startswith(str(DEFAULT_CONCEPT)) for _, caption in kept)
    assert any(scene.place is not None for scene, _ in kept)
    for scene, caption in kept:
        named = scene.unsafe is not None and article(THINGS[scene.unsafe].names[0]) in caption
        assert scene.place is not None or len(scene.placed) == 1 or not named, "that is asked for"
    assert stage.picture().width > 0
