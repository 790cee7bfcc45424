from __future__ import annotations

import pytest
import torch

from safelatent.errors import BadValueError
from safelatent.guidance import MAX, Estimates, Guidance, NegativePrompt, PerImage


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
    noise, state = guidance.step(e, guidance.init(p), 0, 7.5)
    correction, _ = guidance.correct(e, state, 1)
    assert noise.shape == correction.prompt.shape == correction.uncond.shape == p.shape
    assert correction.acts.shape == (1,)
    assert guidance.row(0).needs_concept(0)
