"""Bare names learn to be concepts; all other texts stay."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.training.test_lesson import POOL, TOKENIZER
from tests.training.test_sketch import made_drawings, made_latents
from training import concepts
from training.concepts import ConceptsStage, through
from training.device import Place
from training.generator import new_unet
from training.loop import CHECKPOINT, Progress
from training.package import whole_text_encoder
from training.sketch import FACTS_AT
from training.tokenizer import POSITIONS, token_ids
from training.tower import READING, NamesStage, finished, joined, new_text_encoder, parted
from training.vocabulary import UNSAFE, article

ANY = ConceptsStage._any
TEXTS = ("banana", "a dog and a cat", "violence, blood", "")


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return finished(new_text_encoder(TOKENIZER), torch.device("cpu"))


@pytest.fixture(scope="module")
def few():
    """A world of six safe things."""
    safe = concepts.SAFE[:6]
    names = {name: n for n, thing in enumerate(safe) for name in thing.names}
    numbers = {"OTHERS": 2, "LISTS": 6, "REMEMBERED": 20, "RENEWED": 2, "NAMED": 16, "KEPT": 16}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SAFE": safe, "SAFE_NAMES": names, **numbers}.items():
            patch.setattr(concepts, name, value)
        patch.setattr(concepts, "SAMPLES", 2)
        patch.setattr(ConceptsStage, "_any", lambda _, rng: str(rng.choice(TEXTS)))
        yield list(names)


@pytest.fixture
def stage(encoder, few):
    return ConceptsStage(made_latents(), TOKENIZER, encoder, new_unet(), None, Place())


def _states(encoder, texts):
    with torch.no_grad():
        return encoder(token_ids(TOKENIZER, list(texts)))[0]


def test_a_new_layer_changes_nothing_and_a_learnt_one_is_taken_off_again(encoder):
    reader, layer = parted(encoder)
    whole = joined(reader, layer)
    assert len(whole.encoder.layers) == whole.config.num_hidden_layers == READING + 1
    assert torch.equal(_states(whole, TEXTS), _states(encoder, TEXTS))
    nn.init.normal_(layer.mlp.fc2.bias)
    whole = joined(reader, layer)
    assert not torch.allclose(_states(whole, TEXTS), _states(encoder, TEXTS))
    again, own = parted(whole)
    assert torch.equal(_states(again, TEXTS), _states(encoder, TEXTS))
    assert torch.equal(own.mlp.fc2.bias, layer.mlp.fc2.bias)
    assert len(encoder.encoder.layers) == READING, "what was taken apart is as it was"


def test_some_positions_alone_are_what_the_layer_makes_of_all(encoder):
    layer = encoder.encoder.layers[0]
    before, kept = _states(encoder, TEXTS), []
    hook = layer.register_forward_hook(lambda _, given, made: kept.append((given[0], made)))
    _states(encoder, TEXTS)
    hook.remove()
    before, made = kept[0]
    made = made[0] if isinstance(made, tuple) else made
    at = torch.tensor([0, 3, 40, POSITIONS - 1])
    with torch.no_grad():
        torch.testing.assert_close(through(layer, before, at), made[:, at], atol=1e-5, rtol=1e-4)


def test_a_bare_name_is_to_say_what_the_second_of_a_pair_says(stage, encoder, few):
    names = [few[0], next(name for name in few if concepts.SAFE_NAMES[name] == 5)]
    rows = [stage._sets.index([name]) for name in names]
    plain = _states(encoder, names)[:, FACTS_AT:]
    gained = stage._named.states[rows] - plain
    beside = [
        concepts.SAFE[n].names[0] for n in np.random.default_rng(1).choice(6, 2, replace=False)
    ]
    pairs = [
        _states(encoder, [f"{article(x)} and {article(y)}" for x in beside])[:, FACTS_AT:].mean(0)
        for y in names
    ]
    # what both gain alike is left out, and so is what the last norm makes of lengths
    there = torch.cosine_similarity(
        (gained[0] - gained[1]).flatten(), (pairs[0] - pairs[1]).flatten(), dim=0
    )
    assert there > 0.9


def test_names_learn_and_other_texts_stay(stage, few, monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(stage, "learning_rate", 2e-4)  # the task is small, and the steps are few
    learnt = Progress(stage)
    first = np.mean([stage.loss(rng).item() for _ in range(4)])
    for _ in range(70):
        stage.loss(rng).backward()
        learnt.update(0.4)
        stage.module.zero_grad()
    assert np.mean([stage.loss(rng).item() for _ in range(4)]) < 0.9 * first
    whole = finished(joined(stage.reader, stage.module), torch.device("cpu"))
    moved = {
        kind: (_states(whole, texts) - _states(stage.reader, texts)).square().mean().item()
        for kind, texts in (("bare", few), ("kept", TEXTS[1:]))
    }
    assert 0 < moved["kept"] < 0.1 * moved["bare"]


def test_a_text_that_is_kept_is_never_a_bare_safe_name(stage, few, monkeypatch):
    said = iter([few[0], ", ".join(few[:2]), f"a {few[0]}"])
    monkeypatch.setattr(ConceptsStage, "_any", lambda *_: next(said))
    assert stage._to_keep(np.random.default_rng(0)) == f"a {few[0]}"


def test_lists_names_and_captions_are_kept(few, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(concepts, "example", lambda *_: (None, "a caption"))
    rng = np.random.default_rng(0)
    kept = {ANY(SimpleNamespace(pool=None), rng) for _ in range(200)}
    assert "a caption" in kept
    assert {name for thing in UNSAFE for name in thing.names} & kept
    assert any(text.startswith("a picture of a") for text in kept)
    assert any(text.count(", ") > 2 for text in kept)


def test_the_layer_is_packaged_with_the_text_encoder(stage, encoder, monkeypatch, tmp_path):
    monkeypatch.setattr("training.package.text_encoder_of", lambda *_: encoder)
    TOKENIZER.save_pretrained(tmp_path / "model/tokenizer")
    assert whole_text_encoder(tmp_path) is encoder
    nn.init.normal_(stage.module.mlp.fc2.bias)
    (tmp_path / "concepts").mkdir()
    Progress(stage).save(tmp_path / "concepts" / CHECKPOINT)
    whole = whole_text_encoder(tmp_path)
    assert torch.equal(whole.encoder.layers[-1].mlp.fc2.bias, stage.module.mlp.fc2.bias)
    assert torch.equal(_states(parted(whole)[0], TEXTS), _states(encoder, TEXTS))


def test_its_sample_shows_pairs_with_and_without_guidance(stage):
    picture = stage.picture()
    assert picture.width == picture.height


def test_names_begin_from_the_layers_that_read(encoder, tmp_path):
    joined(*parted(encoder)).save_pretrained(tmp_path)
    names = NamesStage(TOKENIZER, POOL, made_drawings(), made_latents(), known=tmp_path)
    assert len(names.text_encoder.encoder.layers) == READING
    assert torch.equal(_states(names.text_encoder, TEXTS), _states(encoder, TEXTS))
