"""A concept is encoded again where an argument of the call that texts depend on changed."""

from __future__ import annotations

import pytest

from safelatent import DEFAULT_CONCEPT
from safelatent.pipelines.classic.checks import bind_call
from safelatent.pipelines.classic.encoding import encoded_concepts
from safelatent.pipelines.classic.families import family_of
from safelatent.pipelines.encoded import EncodedConcepts
from tests import tiny

FIRST = {"prompt": "a cat"}


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


def both_calls(pipe, first, second):
    """The concept's texts in two calls, one after the other."""
    kept, family = EncodedConcepts(), family_of(pipe)
    return [
        encoded_concepts(kept, pipe, family, [DEFAULT_CONCEPT], bind_call(pipe, (), call))
        for call in (first, second)
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prompt": "a dog"},
        {"prompt": "a dog", "negative_prompt": "a cat"},
        {"guidance_scale": 3.0, "num_inference_steps": 3, "eta": 0.5},
        {"height": 64, "width": 64, "output_type": "latent", "num_images_per_prompt": 2},
    ],
    ids=str,
)
def test_what_no_text_depends_on_keeps_the_texts(pipe, changes):
    before, after = both_calls(pipe, FIRST, FIRST | changes)
    assert after is before


def test_another_number_of_prompts_is_encoded_anew(pipe):
    """In a batch of another size, embeddings round otherwise in the last place."""
    before, after = both_calls(pipe, FIRST, {"prompt": ["a cat", "a dog"]})
    assert after is not before


def test_arguments_that_are_no_plain_values_are_not_compared(pipe):
    call = FIRST | {"cross_attention_kwargs": {}}
    before, after = both_calls(pipe, call, call)
    assert after is not before
