"""What the text encoder learns from the sentence encoder: the losses by their definitions, and that
a small one learns.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize
from transformers import CLIPTextModel, CLIPTokenizer

from tests.training.test_sketch import made_drawings, made_latents
from tests.training.test_texts import Bags, thing
from training.lesson import NAMES, TEMPERATURE, Lesson, choice_loss
from training.loop import Progress, load_average
from training.package import PACKAGED
from training.text_sources import Text
from training.texts import make_pool
from training.tower import TEXT_WIDTH, TowerStage, new_text_encoder

POOL = make_pool(
    Bags(),
    [Text(text=f"a {name} in the morning", source="example") for name in NAMES[:50]],
    {"pooch": thing("dog")},
)
TOKENIZER = CLIPTokenizer.from_pretrained(PACKAGED / "tokenizer")


def test_the_choice_among_names_is_lost_by_its_divergence():
    rng = np.random.default_rng(0)
    found, wanted = (torch.from_numpy(rng.normal(size=(7, 5))) for _ in range(2))
    wanted = normalize(wanted, dim=1)
    is_name = torch.tensor([False, False, True, True, True, False, True])
    middle, slow = found[is_name].mean(dim=0), []
    for row in (0, 1, 5):
        theirs = (
            torch.stack([wanted[row] @ wanted[n] for n in (2, 3, 4, 6)]).div(TEMPERATURE).softmax(0)
        )
        angles = [
            torch.cosine_similarity(found[row] - middle, found[n] - middle, dim=0)
            for n in (2, 3, 4, 6)
        ]
        own = torch.stack(angles).div(TEMPERATURE).softmax(0)
        slow.append((theirs * (theirs / own).log()).sum())
    torch.testing.assert_close(choice_loss(found, wanted, is_name), torch.stack(slow).mean())


def test_nothing_is_lost_where_the_choice_is_the_same():
    wanted = normalize(torch.randn(12, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    wanted[4:] -= wanted[4:].mean(
        dim=0
    )  # names around zero: taking their mean away changes nothing
    wanted = torch.cat([normalize(wanted[:4], dim=1), wanted[4:]])
    is_name = torch.arange(12) >= 4
    apart = choice_loss(wanted, torch.cat([wanted[:4], normalize(wanted[4:], dim=1)]), is_name)
    assert apart == pytest.approx(0, abs=1e-6)


class Spy:
    """A text encoder that gives random states and keeps what it was asked."""

    def __init__(self):
        self.asked: list[torch.Tensor] = []

    def __call__(self, tokens):
        self.asked.append(tokens)
        return type("Out", (), {"pooler_output": torch.randn(len(tokens), TEXT_WIDTH)})


def test_a_lesson_has_as_many_texts_as_names():
    spy = Spy()
    Lesson(POOL, TOKENIZER, TEXT_WIDTH).loss(spy, np.random.default_rng(0), 16)  # pyright: ignore[reportArgumentType]
    assert sum(len(tokens) for tokens in spy.asked) == 32
    told = [TOKENIZER.decode(row, skip_special_tokens=True).strip() for row in spy.asked[0]]
    assert set(told[12:]) <= {
        " ".join(TOKENIZER.decode(TOKENIZER(name).input_ids, skip_special_tokens=True).split())
        for name in NAMES
    }


def stage(kind):
    return kind(TOKENIZER, POOL, made_drawings(), made_latents())


def test_a_few_steps_bring_the_encoder_nearer(tmp_path):
    """By the lesson alone, since the sketch's loss is larger at first; and both are saved."""
    torch.manual_seed(0)
    progress, rng = Progress(learner := stage(TowerStage)), np.random.default_rng(0)

    def lost() -> torch.Tensor:
        return learner.lesson.loss(learner.text_encoder, np.random.default_rng(5), 48)

    with torch.no_grad():
        untrained = lost().item()
    for _ in range(8):
        learner.lesson.loss(learner.text_encoder, rng, 48).backward()
        progress.update(0.3)
        progress.optimizer.zero_grad(set_to_none=False)
    with torch.no_grad():
        assert lost().item() < untrained
    progress.save(tmp_path / "tower.safetensors")
    alone = new_text_encoder(TOKENIZER)
    load_average(torch.nn.ModuleDict({"text_encoder": alone}), tmp_path / "tower.safetensors")
    assert isinstance(alone, CLIPTextModel)
