"""The text encoder's block on a text alone; on the concept it is tested with ``test_blocks``."""

from __future__ import annotations

import pytest
import torch

from safelatent.pipelines.modular.encoding import encoded
from tests.pipelines.modular import tiny_modular
from tests.pipelines.modular.by_hand import run


@pytest.mark.parametrize("family", tiny_modular.present("sdxl", "sd3", "z-image"))
def test_a_text_is_encoded_as_a_call_encodes_its_prompt(family):
    pipe = tiny_modular.pipeline(family)
    size = tiny_modular.CALL.get(family, tiny_modular.SIZE)
    call = {"prompt": "a cat", "num_inference_steps": 2, "output_type": "pt"} | size
    state = run(pipe, call).state
    alone = encoded(pipe, "a cat", call | {"prompt": "a dog", "negative_prompt": "night"})
    for one, other in zip(alone["prompt_embeds"], state.get("prompt_embeds"), strict=True):
        torch.testing.assert_close(one, other)
    assert call["prompt"] == "a cat"
