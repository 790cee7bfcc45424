"""What the text encoder says before it has learnt anything."""

from __future__ import annotations

import pytest
import torch

from tests.training.test_lesson import TOKENIZER
from tests.training.test_sketch import made_drawings, made_latents
from training.beginning import begin
from training.scenes import Placed, Scene
from training.sketch import PATCHES, SAYS, Sketch
from training.tower import TEXT_WIDTH, new_text_encoder
from training.vocabulary import THINGS, article

CHOSEN = range(0, len(THINGS), 3)


@pytest.fixture(scope="module")
def wanted_and_said():
    """The sketches of single things in the middle on white, and the states of their names."""
    torch.manual_seed(0)
    sketch = Sketch(made_drawings(), made_latents(), TEXT_WIDTH)
    text_encoder = new_text_encoder(TOKENIZER).eval()
    begin(text_encoder, TOKENIZER, sketch)
    alone = [
        Scene(background="white", placed=(Placed(thing=thing, spot="middle"),)) for thing in CHOSEN
    ]
    names = [article(THINGS[thing].names[0]) for thing in CHOSEN]
    tokens = TOKENIZER(names, padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        said = text_encoder(tokens)[0]
    return sketch.states(alone)[:, 1:], said[:, -PATCHES:]


def test_a_name_says_most_of_what_the_thing_looks_like(wanted_and_said):
    wanted, said = (states[..., :SAYS] for states in wanted_and_said)
    lost = (said - wanted).square().sum()
    assert lost < 0.3 * (wanted - wanted.mean(dim=0)).square().sum()


def test_a_position_says_where_it_is(wanted_and_said):
    wanted, said = (states[..., SAYS:] for states in wanted_and_said)
    assert torch.cosine_similarity(wanted, said, dim=2).min() > 0.9
