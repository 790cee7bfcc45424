"""Words of faint things learn from where the sampler ends."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from safelatent.models.load import EMBEDDED
from tests.training.test_generator import DRAWINGS
from tests.training.test_lesson import TOKENIZER
from tests.training.test_sketch import made_latents
from training import generator, vae
from training import words as learning
from training.generator import new_unet
from training.loop import CHECKPOINT, Progress
from training.package import package, text_encoder_of, unet_of, whole_text_encoder
from training.tower import new_text_encoder
from training.vocabulary import THINGS
from training.words import FAINT, WORDS, Words, WordsStage


@pytest.fixture
def stage():
    torch.manual_seed(0)
    encoder = new_text_encoder(TOKENIZER)
    return WordsStage(DRAWINGS, made_latents(), TOKENIZER, encoder, new_unet())


def test_the_words_that_learn_are_those_of_faint_things():
    assert set(WORDS) > set(FAINT)
    table = torch.zeros(len(TOKENIZER), 3)
    words = Words(TOKENIZER, table)
    assert torch.equal(words(), table)
    torch.nn.init.ones_(words.change)
    moved = words().any(dim=1).nonzero().flatten()
    # of "kitchen knife" not the first, which stands beside other words too
    assert {TOKENIZER.decode([row]).strip() for row in moved.tolist()} == {
        word.split()[-1] for word in WORDS
    }


def test_a_faint_thing_is_named_and_asked_for():
    rng = np.random.default_rng(0)
    for task in (learning._task(rng) for _ in range(50)):
        thing = THINGS[task.scene.unsafe]
        assert thing.names[0] in FAINT
        assert any(name in task.caption for name in thing.names)
        assert (task.without.unsafe, task.without.safe) == (None, task.scene.safe)


def test_nothing_is_lost_where_the_sampler_ends_in_what_is_asked_for(stage, monkeypatch):
    def loss(of):
        monkeypatch.setattr(
            stage, "_made", lambda tasks, *_: stage.latents([getattr(t, of) for t in tasks])
        )
        return stage.loss(np.random.default_rng(0)).item()

    assert loss("scene") == pytest.approx(0, abs=1e-6)
    assert loss("without") >= 1 - 1e-6


def test_words_alone_learn_and_the_states_of_texts_without_them_stay(stage):
    texts, table = ["a dog", "a dog with a knife"], stage.draw.table
    before = stage.draw.states(texts, table)
    stage.loss(np.random.default_rng(0)).backward()
    assert stage.module.change.grad.any()
    finished = (*stage.draw.unet.parameters(), *stage.draw.text_encoder.parameters())
    assert not any(p.requires_grad for p in finished)
    torch.nn.init.normal_(stage.module.change)
    after = stage.draw.states(texts, stage.module())
    assert (after == before).flatten(1).all(dim=1).tolist() == [True, False]


def test_beside_finished_weights_words_alone_are_packaged_anew(tmp_path, monkeypatch):
    shape = json.loads((EMBEDDED / "vae/config.json").read_text())
    monkeypatch.setattr(vae, "WIDTHS", tuple(shape["block_out_channels"]))
    monkeypatch.setattr(generator, "WIDTH", 144)
    shutil.copytree(EMBEDDED / "tokenizer", tmp_path / "model/tokenizer")
    parts = text_encoder_of(tmp_path, EMBEDDED), unet_of(tmp_path, EMBEDDED)
    stage = WordsStage(DRAWINGS, made_latents(), TOKENIZER, *parts)
    torch.nn.init.constant_(stage.module.change, 0.01)
    (tmp_path / "words").mkdir()
    Progress(stage).save(tmp_path / "words" / CHECKPOINT)
    before, after = (
        of(tmp_path, EMBEDDED).get_input_embeddings().weight
        for of in (text_encoder_of, whole_text_encoder)
    )
    assert torch.equal((after != before).any(dim=1).nonzero().flatten(), stage.module.rows)

    made = package(tmp_path, tmp_path / "packaged", EMBEDDED)
    for file in (f"{part}/{kind}" for part in ("unet", "vae") for kind in ("*.json", "*.safe*")):
        (own,), (packaged,) = EMBEDDED.glob(file), made.glob(file)
        assert packaged.read_bytes() == own.read_bytes(), file
    assert not any(str(EMBEDDED) in file.read_text() for file in made.rglob("*.json"))
