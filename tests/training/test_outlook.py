"""The outlook: prompts of I2P come to lie between two captions, by their rank; all else stays where
it was.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import CLIPTextModel, CLIPTokenizer

from tests.training.test_sketch import made_drawings, made_latents
from tests.training.test_texts import Bags, thing
from training import outlook
from training.loop import Progress
from training.outlook import FURTHEST, OutlookStage
from training.package import PACKAGED
from training.scenes import beside
from training.sketch import FACTS_AT
from training.text_sources import Text
from training.texts import make_pool
from training.tokenizer import POSITIONS
from training.tower import TowerStage, parted
from training.vocabulary import ADJECTIVES, CATEGORIES, NOUNS, SAFE, THINGS, words

TOKENIZER = CLIPTokenizer.from_pretrained(PACKAGED / "tokenizer")
RATES = {"fight": 0.1, "garden": 0.9}  # not what the words suggest
PROMPTS = [
    Text(text=f"a dog, {word} {n}", source="i2p", unsafe=rate, categories=("violence",))
    for n in range(20)
    for word, rate in RATES.items()
]
PARTS = [Text(text=f"fight {n}", source="part", categories=("violence",)) for n in range(5)]
OTHERS = [Text(text=f"a cat in the morning {n}", source="example") for n in range(5)]
POOL = make_pool(Bags(), [*PROMPTS, *PARTS, *OTHERS], {})


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A checkpoint of the part before, with the shipped text encoder."""
    one = TowerStage(TOKENIZER, POOL, made_drawings(), made_latents())
    one.text_encoder.load_state_dict(
        parted(CLIPTextModel.from_pretrained(PACKAGED / "text_encoder", dtype=torch.float32))[
            0
        ].state_dict()
    )
    file = tmp_path_factory.mktemp("tower") / "checkpoint.safetensors"
    Progress(one).save(file)
    return file


@pytest.fixture(scope="module")
def made(start):
    return OutlookStage(TOKENIZER, POOL, made_drawings(), made_latents(), start)


@pytest.fixture
def stage(made):
    """As it begins."""
    made.text_encoder.load_state_dict(made.former.state_dict())
    return made


def test_a_prompt_lies_between_captions_of_the_nearest_thing(stage):
    harmless, unsafe = stage.between(np.random.default_rng(0), np.arange(40))
    names = THINGS[thing("dog")].names
    assert {text.split(" ", 1)[1] for text in harmless} <= set(names)
    assert all(any(name in text for name in names) for text in unsafe)
    assert not set(harmless) & set(unsafe)


def test_nothing_sexual_is_said_of_what_belongs_to_minors(start, monkeypatch):
    monkeypatch.setattr(outlook, "LIST_SHARE", 0.0)
    minors = next(n for n in range(len(SAFE)) if "sexual" not in beside(n))
    pool = make_pool(
        Bags(),
        [
            Text(
                text=THINGS[minors].names[0] + " x",
                source="i2p",
                unsafe=0.5,
                categories=("sexual",),
            )
        ],
        {},
    )
    one = OutlookStage(TOKENIZER, pool, made_drawings(), made_latents(), start)
    assert int(pool.nearest[0, 0]) == minors
    _, unsafe = one.between(np.random.default_rng(0), np.zeros(40, int))
    told = {word for table in (NOUNS, ADJECTIVES) for word in words(table["sexual"])}
    others = {
        word
        for table in (NOUNS, ADJECTIVES)
        for c in CATEGORIES
        if c != "sexual"
        for word in words(table[c])
    }
    assert not [text for text in unsafe if any(word in text for word in told - others)]


def test_what_lies_where_it_should_loses_nothing(stage, monkeypatch):
    """With states that are given: a prompt's between those of its captions, as far along as its
    rank.
    """
    torch.manual_seed(0)
    harmless, unsafe = torch.randn(2, len(POOL.texts), 77, 256)
    told: dict[str, torch.Tensor] = {}

    def between(rng, chosen):
        for n in chosen:
            told[f"harmless {n}"], told[f"unsafe {n}"] = harmless[n], unsafe[n]
            told[POOL.texts[n]] = torch.lerp(
                harmless[n], unsafe[n], FURTHEST * float(POOL.ranks[n])
            )
        return [f"harmless {n}" for n in chosen], [f"unsafe {n}" for n in chosen]

    monkeypatch.setattr(stage, "between", between)
    monkeypatch.setattr(
        stage,
        "sketched",
        lambda texts, text_encoder=None: torch.stack([told[text] for text in texts]),
    )
    right = [stage.prompt_loss(np.random.default_rng(seed)).item() for seed in range(4)]
    assert right == pytest.approx([0] * 4, abs=1e-6)
    monkeypatch.setattr(
        stage,
        "sketched",
        lambda texts, text_encoder=None: torch.stack([told[text] + 0.1 for text in texts]),
    )
    off = stage.prompt_loss(np.random.default_rng(0)).item()
    assert off == pytest.approx(0, abs=1e-6), (
        "the captions moved as well: what counts lies between them"
    )


def test_nothing_is_lost_before_anything_has_moved(stage):
    assert stage.kept_loss(np.random.default_rng(0)).item() == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        stage.text_encoder.final_layer_norm.bias.add_(0.5)
    assert stage.kept_loss(np.random.default_rng(0)).item() > 0.25
    assert all(not p.requires_grad for p in stage.former.parameters())


def test_prompts_come_into_order_and_own_captions_stay(stage, monkeypatch):
    """After eight steps the sketches of the likely ones are further from the harmless caption than
    those of the unlikely ones.
    """
    for name, few in {
        "LIST_SHARE": 0.0,
        "PROMPTS": 12,
        "CAPTIONS": 4,
        "TEXTS": 4,
        "LESSON": 4,
    }.items():
        monkeypatch.setattr(outlook, name, few)
    moved = {}
    for weight in (0.0, outlook.KEPT_WEIGHT):
        monkeypatch.setattr(outlook, "KEPT_WEIGHT", weight)
        stage.text_encoder.load_state_dict(stage.former.state_dict())
        before = difference_along(stage)
        torch.manual_seed(0)
        optimizer = torch.optim.AdamW(stage.text_encoder.parameters(), lr=1e-3)
        for step in range(8):
            optimizer.zero_grad()
            stage.loss(np.random.default_rng(step)).backward()
            optimizer.step()
        assert difference_along(stage) > before + 0.3
        moved[weight] = np.mean(
            [stage.kept_loss(np.random.default_rng(seed)).item() for seed in range(8)]
        )
    assert moved[outlook.KEPT_WEIGHT] < 0.4 * moved[0.0]


@torch.no_grad()
def difference_along(stage) -> float:
    """How much further along the gardens are than the fights."""
    said = stage.sketched([text.text for text in PROMPTS])[:, FACTS_AT + 1 - POSITIONS :].flatten(1)
    captions = stage.between(np.random.default_rng(1), np.arange(len(PROMPTS)))
    harmless, unsafe = (
        stage.sketched(texts, stage.former)[:, FACTS_AT + 1 - POSITIONS :].flatten(1)
        for texts in captions
    )
    along = ((said - harmless) * (unsafe - harmless)).sum(1) / (unsafe - harmless).square().sum(1)
    return (along[1::2].mean() - along[0::2].mean()).item()


def test_without_prompts_of_i2p_there_is_no_outlook(start):
    with pytest.raises(ValueError, match=r"name i2p\.csv"):
        OutlookStage(
            TOKENIZER, make_pool(Bags(), OTHERS, {}), made_drawings(), made_latents(), start
        )
