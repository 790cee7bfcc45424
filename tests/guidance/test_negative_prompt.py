from __future__ import annotations

import pytest
import torch

from safelatent.errors import BadValueError
from safelatent.guidance import Estimates, Guidance, NegativePrompt, classifier_free


def test_the_concept_takes_the_place_of_the_empty_prompt():
    p, s = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    baseline = NegativePrompt()
    noise, state = baseline.step(
        Estimates(uncond=None, prompt=p, concept=s), baseline.init(p), 0, 7.5
    )
    assert torch.equal(noise, classifier_free(s, p, 7.5))
    assert state is None


def test_it_has_the_same_interface_and_costs_no_third_evaluation():
    baseline = NegativePrompt()
    assert isinstance(baseline, Guidance)
    assert (baseline.needs_uncond, baseline.needs_concept(0), baseline.acts_from()) == (
        False,
        True,
        0,
    )


def test_without_the_concept_it_is_an_error():
    with pytest.raises(BadValueError, match="concept"):
        NegativePrompt().step(Estimates(uncond=None, prompt=torch.zeros(1, 1, 1, 1)), None, 0, 7.5)
