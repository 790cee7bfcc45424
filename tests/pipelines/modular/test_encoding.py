"""The text encoder's block on a text alone; on the concept it is tested with ``test_blocks``."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from safelatent.guidance import MAX, receipt
from safelatent.pipelines.modular import encoding, guard_modular
from safelatent.pipelines.modular.encoding import encoded
from tests.pipelines.modular import tiny_modular
from tests.pipelines.modular.by_hand import call, recorded, run


@pytest.mark.parametrize("family", tiny_modular.present("sdxl", "sd3", "z-image"))
def test_a_text_is_encoded_as_a_call_encodes_its_prompt(family):
    pipe = tiny_modular.pipeline(family)
    size = tiny_modular.CALL.get(family, tiny_modular.SIZE)
    given = {"prompt": "a cat", "num_inference_steps": 2, "output_type": "pt"} | size
    state = run(pipe, given).state
    alone = encoded(pipe, "a cat", given | {"prompt": "a dog", "negative_prompt": "night"})
    for one, other in zip(alone["prompt_embeds"], state.get("prompt_embeds"), strict=True):
        torch.testing.assert_close(one, other)
    assert given["prompt"] == "a cat"


@pytest.fixture
def times(monkeypatch):
    """How often a concept is encoded, as a list that grows. Random weights mind no words."""
    monkeypatch.setattr(receipt, "LEAST_EFFECT", 0.0)
    seen: list[Any] = []
    own = encoding._uncut
    monkeypatch.setattr(encoding, "_uncut", lambda pipe: [seen.append(pipe), own(pipe)][1])
    return seen


def drawn(pipe: Any, safe: Any, family: str, **changes: Any) -> torch.Tensor:
    size = tiny_modular.CALL.get(family, tiny_modular.SIZE)
    given = {"prompt": "a cat with a pistol", "num_inference_steps": 5, "output_type": "pt"} | size
    with recorded(pipe) as seen, torch.no_grad():
        call(safe, given | changes)
    return seen.steps[-1][2].clone()


@pytest.mark.parametrize("family", tiny_modular.present("sdxl", "sd3", "z-image", "wan"))
def test_a_second_call_takes_the_concepts_text_of_the_first(family, times):
    pipe = tiny_modular.pipeline(family)
    pipe.set_progress_bar_config(disable=True)
    safe = guard_modular(pipe, MAX, concept="violence, blood")
    first = drawn(pipe, safe, family)
    assert torch.equal(drawn(pipe, safe, family), first)
    drawn(pipe, safe, family, prompt="a dog", num_inference_steps=6)
    assert len(times) == 1
    pipe.text_encoder.get_input_embeddings().weight.data *= 1.5
    anew = drawn(pipe, safe, family)
    assert len(times) == 2
    other = guard_modular(pipe, MAX, concept="violence, blood")
    assert torch.equal(drawn(pipe, other, family), anew)


def test_another_block_or_one_of_ones_own_encodes_anew(times):
    pipe = tiny_modular.pipeline("sdxl")
    pipe.set_progress_bar_config(disable=True)
    safe, blocks = guard_modular(pipe, MAX, concept="violence"), pipe._blocks.sub_blocks
    drawn(pipe, safe, "sdxl")
    blocks["text_encoder"] = copy.copy(blocks["text_encoder"])
    drawn(pipe, safe, "sdxl")
    assert len(times) == 2

    class Own(type(blocks["text_encoder"])):
        """What it remembers is not known."""

    blocks["text_encoder"] = Own()
    drawn(pipe, safe, "sdxl")
    drawn(pipe, safe, "sdxl")
    assert len(times) == 4
