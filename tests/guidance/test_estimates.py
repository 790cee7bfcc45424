from __future__ import annotations

import pytest
import torch

from safelatent.errors import BadValueError
from safelatent.guidance import (
    MAX,
    Estimates,
    Guidance,
    NegativePrompt,
    PerImage,
    classifier_free,
)
from safelatent.guidance.estimates import norms, per_row


def test_shapes_must_agree():
    with pytest.raises(
        BadValueError,
        match=r"the concept estimate has shape \(1, 4, 2, 2\), the prompt's \(2, 4, 2, 2\)",
    ):
        Estimates(
            uncond=torch.zeros(2, 4, 2, 2),
            prompt=torch.zeros(2, 4, 2, 2),
            concept=torch.zeros(1, 4, 2, 2),
        )


def test_they_are_given_by_name():
    with pytest.raises(TypeError):
        Estimates(torch.zeros(1), torch.zeros(1), torch.zeros(1))


@pytest.mark.parametrize(
    "guidance", [MAX, NegativePrompt(), PerImage([MAX])], ids=lambda g: type(g).__name__
)
def test_every_guidance_has_the_interface(guidance):
    assert isinstance(guidance, Guidance)
    p = torch.randn(1, 4, 3, 3)
    e = Estimates(uncond=torch.randn(1, 4, 3, 3), prompt=p, concept=torch.randn(1, 4, 3, 3))
    _, state = guidance.correct(e, guidance.init(p), 0)
    correction, _ = guidance.correct(e, state, 1)
    assert classifier_free(correction, 7.5).shape == p.shape
    assert correction.acts.shape == (1,)
    assert guidance.row(0).needs_concept(0)


def test_classifier_free_guidance_needs_the_unconditional_estimate():
    with pytest.raises(BadValueError, match="needs the unconditional estimate"):
        classifier_free(Estimates(uncond=None, prompt=torch.zeros(1, 1, 1, 1)), 7.5)
    u, p = torch.randn(2, 1, 4, 3, 3)
    assert torch.equal(classifier_free(Estimates(uncond=u, prompt=p), 7.5), u + 7.5 * (p - u))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_norms_and_values_are_per_row(dtype):
    x = torch.full((2, 4, 3, 3), 0.5, dtype=dtype)
    assert norms(x).tolist() == [3.0, 3.0]
    assert (per_row(torch.tensor([1.0, 2.0]), x) * x).flatten(1).mean(dim=1).tolist() == [0.5, 1.0]
    flags = torch.tensor([[True, False], [False, True]])  # of several concepts
    found = torch.where(per_row(flags, x), torch.ones(2, *x.shape), 0.0)
    assert found.flatten(2).mean(dim=2).tolist() == [[1, 0], [0, 1]]
