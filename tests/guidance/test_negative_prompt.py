from __future__ import annotations

import pytest
import torch

from safelatent.errors import BadValueError
from safelatent.guidance import Estimates, Guidance, NegativePrompt, classifier_free


def test_the_concept_replaces_the_empty_prompt():
    p, s = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    baseline = NegativePrompt()
    correction, state = baseline.correct(
        Estimates(uncond=None, prompt=p, concept=s), baseline.init(p), 0
    )
    assert torch.equal(
        classifier_free(correction, 7.5), classifier_free(Estimates(uncond=s, prompt=p), 7.5)
    )
    assert state is None
    assert correction.acts.tolist() == [True, True]


def test_a_row_whose_estimates_are_one_is_not_guided():
    p, s = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    s[1] = p[1]
    correction, _ = NegativePrompt().correct(Estimates(uncond=None, prompt=p, concept=s), None, 0)
    assert correction.acts.tolist() == [True, False]
    u = torch.randn(2, 4, 3, 3)
    u[0] = s[0]  # the negative prompt is the concept already
    correction, _ = NegativePrompt().correct(Estimates(uncond=u, prompt=p, concept=s), None, 0)
    assert correction.acts.tolist() == [False, False]


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
        NegativePrompt().correct(Estimates(uncond=None, prompt=torch.zeros(1, 1, 1, 1)), None, 0)
