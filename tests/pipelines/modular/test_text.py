from __future__ import annotations

import pytest
import torch
from diffusers.modular_pipelines.modular_pipeline import BlockState

from safelatent import UnsupportedError
from safelatent.pipelines.modular.text import concept_batch, embeddings

CONCEPT = {
    "prompt_embeds": torch.arange(10.0).reshape(1, 5, 2),
    "prompt_embeds_mask": torch.ones(1, 5),
}


def batch(**fields) -> BlockState:
    return BlockState(__guidance_identifier__="pred_cond", **fields)


def test_the_text_is_the_concepts_and_what_stands_beside_it_the_prompts():
    prompt = batch(
        encoder_hidden_states=torch.zeros(3, 4, 2, dtype=torch.float64),
        encoder_hidden_states_mask=torch.ones(3, 4, dtype=torch.bool),
        hidden_states=(latents := torch.rand(3, 2)),
        txt_ids=torch.stack([torch.zeros(4), torch.arange(4.0) * 2], dim=-1).expand(3, 4, 2),
    )
    made = concept_batch(prompt, CONCEPT, "pred_concept").as_dict()
    assert made["encoder_hidden_states"].dtype == torch.float64
    assert torch.equal(
        made["encoder_hidden_states"], CONCEPT["prompt_embeds"].double().expand(3, 5, 2)
    )
    assert torch.equal(made["encoder_hidden_states_mask"], torch.ones(3, 5, dtype=torch.bool))
    assert made["hidden_states"] is latents
    assert torch.equal(
        made["txt_ids"],
        torch.stack([torch.zeros(5), torch.arange(5.0) * 2], dim=-1).expand(3, 5, 2),
    )
    assert made["__guidance_identifier__"] == "pred_concept"
    assert prompt["__guidance_identifier__"] == "pred_cond"


def test_lists_of_embeddings():
    prompt = batch(
        cap_feats=[torch.zeros(3, 2, dtype=torch.float16), torch.zeros(7, 2, dtype=torch.float16)]
    )
    made = embeddings(
        concept_batch(prompt, {"prompt_embeds": [CONCEPT["prompt_embeds"][0]]}, "pred_concept")
    )
    assert [row.dtype for row in made] == [torch.float16] * 2
    assert torch.equal(made[1], CONCEPT["prompt_embeds"][0].half())


@pytest.mark.parametrize("name", ["img_mask", "pooled_projections"])
def test_a_field_that_nobody_knows_is_refused(name):
    with pytest.raises(UnsupportedError, match=f"'{name}', which the guard does not know"):
        concept_batch(
            batch(encoder_hidden_states=torch.zeros(1, 5, 2), **{name: torch.zeros(1)}),
            CONCEPT,
            "pred_concept",
        )


def test_a_field_that_the_text_encoder_did_not_make_for_the_concept_is_refused():
    with pytest.raises(UnsupportedError, match="'text_embeds'"):
        concept_batch(
            batch(prompt_embeds=torch.zeros(1, 5, 2), text_embeds=torch.zeros(1, 2)),
            CONCEPT,
            "pred_concept",
        )
