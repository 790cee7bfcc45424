from __future__ import annotations

import pytest
import torch

from safelatent.errors import BadValueError
from safelatent.guidance import MAX, MEDIUM, STRONG, WEAK, Estimates, NegativePrompt, PerImage

MIXED = [WEAK, MAX, MEDIUM, STRONG]


def batch(i: int, dtype: torch.dtype) -> Estimates:
    noise = torch.Generator().manual_seed(i)
    u, p, s = (torch.randn((4, 4, 6, 6), generator=noise).to(dtype) for _ in range(3))
    return Estimates(uncond=u, prompt=p, concept=s)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_each_row_gets_what_it_would_get_alone(dtype):
    rows, first = PerImage(MIXED), batch(0, dtype).prompt
    state, alone = rows.init(first), [sld.init(first[:1]) for sld in MIXED]
    for i in range(20):
        e = batch(i, dtype)
        correction, after = rows.correct(e, state, i)
        for b, sld in enumerate(MIXED):
            one, alone[b] = sld.correct(e.row(b), alone[b], i)
            for name in ("uncond", "prompt", "acts", "gamma", "gate"):
                found, expected = getattr(correction, name)[b : b + 1], getattr(one, name)
                assert torch.equal(found, expected), f"row {b}, step {i}: {name}"
            assert torch.equal(after[b : b + 1], alone[b]), f"row {b}, step {i}"
        state = after


def test_the_batch_needs_what_any_row_needs():
    assert PerImage([WEAK, WEAK]).needs_concept(3) is False
    assert PerImage([WEAK, MAX]).needs_concept(3) is True
    assert PerImage([WEAK, MAX]).acts_from() == 15
    assert PerImage([WEAK, MAX]).rows == 2


@pytest.mark.parametrize(
    "settings", [[], [None], ["weak"], [NegativePrompt()], [PerImage([MAX])]], ids=repr
)
def test_rows_that_make_no_sense_are_refused(settings):
    with pytest.raises(BadValueError):
        PerImage(settings)


def test_the_batch_must_have_as_many_rows():
    with pytest.raises(BadValueError, match="2 images met a batch of 4"):
        PerImage([WEAK, MAX]).correct(batch(0, torch.float32), torch.zeros(4, 4, 6, 6), 0)
