from __future__ import annotations

import pytest
import torch

from safelatent.errors import NotGuardedError
from safelatent.guidance import MAX, NegativePrompt
from safelatent.guidance.concept_itself import (
    TextCheck,
    refuse_concept_itself,
    refuse_replaced_negative,
    same_rows,
)

CONCEPT = torch.arange(10.0).reshape(1, 5, 2)
PADDED = torch.cat([CONCEPT * (1 + 1e-5), torch.zeros(1, 3, 2)], dim=1)
OTHER = PADDED + 0.1


def test_the_same_text_is_recognised_through_padding_and_rounding():
    assert same_rows(torch.cat([OTHER, PADDED]), CONCEPT) == [1]
    assert same_rows([OTHER[0], CONCEPT[0], CONCEPT[0, :4]], CONCEPT) == [1]
    assert same_rows(CONCEPT.half(), CONCEPT) == [0]


def test_the_texts_of_two_encoders_are_never_the_same():
    assert same_rows(torch.zeros(1, 5, 3), torch.zeros(1, 5, 2)) == []


def test_either_prompt_is_refused_by_its_name():
    refuse_concept_itself(OTHER, OTHER, CONCEPT)
    with pytest.raises(NotGuardedError, match=r"^the prompt is the concept itself"):
        refuse_concept_itself(torch.cat([OTHER, PADDED]), OTHER, CONCEPT)
    with pytest.raises(NotGuardedError, match=r"^the negative prompt is the concept itself"):
        refuse_concept_itself(OTHER, PADDED, CONCEPT)
    refuse_concept_itself(OTHER, None, CONCEPT)


@pytest.mark.parametrize("value", ["a dog", ["", "a dog"], ("a dog",), torch.zeros(1, 5, 2)])
@pytest.mark.parametrize("name", ["negative_prompt", "negative_prompt_2", "negative_prompt_embeds"])
def test_a_negative_prompt_that_would_be_dropped_is_refused(name, value):
    arguments = {"prompt": "a cat", name: value}
    with pytest.raises(NotGuardedError, match=f"{name} would be dropped"):
        refuse_replaced_negative(NegativePrompt(), arguments)
    refuse_replaced_negative(MAX, arguments)


@pytest.mark.parametrize("value", [None, "", "  ", ["", ""]])
def test_an_empty_negative_prompt_is_none(value):
    refuse_replaced_negative(NegativePrompt(), {"prompt": "a cat", "negative_prompt": value})


def test_a_text_is_checked_again_where_it_became_the_concept():
    check, text = TextCheck(), OTHER[:, :5].clone()
    check(text, None, CONCEPT)
    text.copy_(CONCEPT)
    with pytest.raises(NotGuardedError, match=r"^the prompt is the concept itself"):
        check(text, None, CONCEPT)
