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


def test_a_row_has_all_of_the_estimates():
    noise = torch.Generator().manual_seed(1)
    u, p, s, e, x, k, m = (torch.randn((3, 4, 6, 6), generator=noise) for _ in range(7))
    row = Estimates(uncond=u, prompt=p, concept=s, empty=e, either=x, concepts=(k, m)).row(1)
    for found, whole in (
        *((row.uncond, u), (row.prompt, p), (row.concept, s), (row.empty, e), (row.either, x)),
        *zip(row.concepts, (k, m), strict=True),
    ):
        assert torch.equal(found, whole[1:2])
    assert Estimates(uncond=None, prompt=p).row(2).uncond is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_each_row_gets_what_it_would_get_alone(dtype):
    rows, first = PerImage(MIXED), batch(0, dtype).prompt
    state, alone = rows.init(first), [sld.init(first[:1]) for sld in MIXED]
    for i in range(20):
        e = batch(i, dtype)
        correction, after = rows.correct(e, state, i)
        for b, sld in enumerate(MIXED):
            own = {name: tensor[b : b + 1] for name, tensor in e.named().items()}
            one, alone[b] = sld.correct(Estimates(**own), alone[b], i)
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
