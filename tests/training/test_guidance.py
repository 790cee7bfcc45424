"""What the generator's last part asks: a share of the way from the estimate without words to the
one with.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from safelatent import DEFAULT_CONCEPT
from tests.training.test_generator import DRAWINGS
from tests.training.test_lesson import POOL, TOKENIZER
from tests.training.test_sketch import made_latents
from training import guidance
from training.generator import GeneratorStage, new_unet
from training.guidance import BEST, BEST_ALONE, FIRM, GuidanceStage
from training.loop import Progress
from training.sampling import SCALE
from training.scenes import Placed, Scene
from training.tower import new_text_encoder
from training.vocabulary import PLACES, SAFE, THINGS

_NUMBER = {thing.names[0]: n for n, thing in enumerate(THINGS)}
PANDA, PISTOL = ((Placed(thing=_NUMBER[name], spot="middle"),) for name in ("panda", "pistol"))


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    torch.manual_seed(0)
    parts = DRAWINGS, made_latents(), TOKENIZER, new_text_encoder(TOKENIZER), POOL
    before = GeneratorStage(*parts)
    file = tmp_path_factory.mktemp("generator") / "checkpoint.safetensors"
    Progress(before).save(file)
    return GuidanceStage(*parts, file)


@pytest.mark.parametrize(
    ("placed", "place", "caption", "concepts", "lists", "best"),
    [
        (PANDA, None, "a panda", 0, 0, BEST),
        (PANDA, None, "a pistol", 0, 0, BEST_ALONE),
        (PISTOL, None, "something violent", 0, 0, BEST_ALONE),
        (PANDA, "Ruritania", "life in Ruritania", 0, 0, FIRM * BEST),
        (PANDA, None, "a panda", 1, 0, guidance.NAMES_SCALE),
        (PANDA, "Ruritania", "a panda", 1, 1, guidance.LIST_SCALE),
    ],
)
def test_nothing_is_left_to_learn_where_words_say_their_share(
    stage, monkeypatch, placed, place, caption, concepts, lists, best
):
    scene = Scene(background="blue", placed=placed, place=place)
    monkeypatch.setattr(guidance, "CONCEPT_SHARE", concepts)
    monkeypatch.setattr(guidance, "LIST_SHARE", lists)
    for share in ("ALONE_SHARE", "PLACES_SHARE", "BESIDE_SHARE"):
        monkeypatch.setattr(guidance, share, 0)
    monkeypatch.setattr(guidance, "example", lambda *_: (scene, caption))

    def estimates(times, with_words=0.0, without=0.0):
        """Of the former UNet 0 without words and 1 with; of the one that learns so many times its
        share, which falls to 1 where there is no noise, and an error with words and one without.
        """

        def of(noisy, t, text, unet=None):
            scale = 1 + (best - 1) * t / (len(stage.weights) - 1)
            if unet is not None:
                return torch.full_like(noisy, 0.0 if text is stage.nothing else 1.0)
            said = times * scale / SCALE + with_words
            said = torch.full_like(said, without) if text is stage.nothing else said
            return torch.zeros_like(noisy) + said[:, None, None, None]

        return of

    def loss(*of):
        monkeypatch.setattr(stage, "estimate", estimates(*of))
        torch.manual_seed(0)
        return stage.loss(np.random.default_rng(0)).item()

    assert loss(1.0) < 1e-9
    assert loss(0.5) > 1e-3
    # guidance makes an error of one estimate 7.5 times as large, and one of both no larger
    assert loss(1.0, 0.1, 0.1) < 0.5 * loss(1.0, 0.1)


def test_a_concept_is_a_list_of_terms_or_names_and_names_no_minor_beside_sexual_things():
    rng = np.random.default_rng(0)
    swimwear = next(n for n, thing in enumerate(THINGS) if thing.category == "sexual")
    shown = [Placed(thing=thing, spot="middle") for thing in (0, swimwear)]
    scenes = [Scene(background="blue", placed=(one,)) for one in shown]
    concepts = [guidance.concept(rng, scenes[n % 2]) for n in range(300)]
    names = {name for thing in SAFE for name in thing.names}
    scales = dict(concepts)
    concepts = [text for text, _ in concepts]
    of_names = [text for text in concepts if set(text.split(", ")) <= names]
    assert 60 < len(of_names) < 180
    assert {scales[text] for text in of_names} == {guidance.NAMES_SCALE}
    assert scales[str(DEFAULT_CONCEPT)] == guidance.LIST_SCALE > guidance.NAMES_SCALE > SCALE
    assert str(DEFAULT_CONCEPT) in concepts
    assert max(len(text.split(", ")) for text in of_names) == 3
    assert any("child abuse" in text for text in concepts[::2])
    assert not any("child abuse" in text for text in concepts[1::2])


def test_it_begins_as_the_finished_generator_and_moves_alone(stage):
    stage.images_a_step = 8
    stage.loss(np.random.default_rng(0)).backward()
    assert any(p.grad is not None and p.grad.any() for p in stage.module.parameters())
    assert all(p.grad is None for p in stage.former.parameters())
    for own, former in zip(stage.module.parameters(), stage.former.parameters(), strict=True):
        torch.testing.assert_close(own, former)


def test_of_a_place_the_finished_unet_is_asked_for_what_the_noise_settles(stage, monkeypatch):
    asked = []
    states = stage.states
    monkeypatch.setattr(stage, "states", lambda texts: asked.extend(texts) or states(texts))
    monkeypatch.setattr(guidance, "PLACES_SHARE", 1)
    stage.loss(np.random.default_rng(0))
    captions, told = asked[: len(asked) // 2], asked[len(asked) // 2 :]
    assert len(captions) == stage.images_a_step // guidance.DRAWS
    assert all(any(place in text for place in PLACES) for text in captions)
    assert not any(place in text for place in PLACES for text in told)


def test_finished_weights_are_their_own_teacher(tmp_path, monkeypatch):
    """What they say of a caption at 7.5 is what is asked for: nothing is left to learn of it."""
    parts = DRAWINGS, made_latents(), TOKENIZER, new_text_encoder(TOKENIZER), POOL
    torch.manual_seed(3)
    finished = new_unet()
    finished.save_pretrained(tmp_path / "unet")
    stage = GuidanceStage(*parts, tmp_path)
    for own, theirs in zip(stage.unet.parameters(), finished.parameters(), strict=True):
        torch.testing.assert_close(own, theirs)
    monkeypatch.setattr(guidance, "PLACES_SHARE", 0)
    stage.images_a_step = 8
    t = torch.tensor([999, 999, 0, 0] * 2)
    scales = stage._scales([BEST, BEST], [1.0, FIRM], t)
    assert scales.tolist() == pytest.approx([SCALE, FIRM * SCALE, SCALE, SCALE] * 2)
    captions = (Scene(background="white", placed=PANDA), "a panda")
    monkeypatch.setattr(guidance, "example", lambda *_: captions)
    assert stage.loss(np.random.default_rng(0)).item() < 1e-9
    monkeypatch.setattr(guidance, "PLACES_SHARE", 1)
    assert stage.loss(np.random.default_rng(0)).item() > 1e-9
