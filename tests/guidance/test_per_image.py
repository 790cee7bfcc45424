from __future__ import annotations

import pytest
import torch

from safelatent.errors import BadValueError
from safelatent.guidance import MAX, MEDIUM, SLD, STRONG, WEAK, Estimates, NegativePrompt, PerImage

MIXED = [WEAK, MAX, MEDIUM, STRONG]
AS_TENSORS = SLD(
    warmup=torch.tensor([15, 0, 10, 7]),
    scale=torch.tensor([200.0, 5000.0, 1000.0, 2000.0], dtype=torch.float64),
    threshold=[0.0, 1.0, 0.01, 0.025],
    momentum=(0.0, 0.5, 0.3, 0.5),
    decay=torch.tensor([0.0, 0.7, 0.4, 0.7], dtype=torch.float64),
)


def batch(i: int, dtype: torch.dtype) -> Estimates:
    noise = torch.Generator().manual_seed(i)
    u, p, s = (torch.randn((4, 4, 6, 6), generator=noise).to(dtype) for _ in range(3))
    return Estimates(uncond=u, prompt=p, concept=s)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rows", [PerImage(MIXED), AS_TENSORS], ids=["sequence of SLD", "tensors"])
def test_each_row_gets_what_it_would_get_alone(rows, dtype):
    state, alone = (
        rows.init(batch(0, dtype).prompt),
        [sld.init(batch(0, dtype).prompt[:1]) for sld in MIXED],
    )
    for i in range(20):
        e = batch(i, dtype)
        noise, after = rows.step(e, state, i, 7.5)
        correction, _ = rows.correct(e, state, i)
        for b, sld in enumerate(MIXED):
            expected, nu = sld.step(e.row(b), alone[b], i, 7.5)
            one, _ = sld.correct(e.row(b), alone[b], i)
            assert torch.equal(noise[b : b + 1], expected), f"row {b}, step {i}"
            assert torch.equal(correction.prompt[b : b + 1], one.prompt), f"row {b}, step {i}"
            alone[b] = nu
        state = after


def test_a_tensor_of_settings_is_its_rows():
    assert [AS_TENSORS.row(b) for b in range(4)] == MIXED
    assert AS_TENSORS.rows == PerImage(MIXED).rows == 4


def test_the_batch_needs_what_any_row_needs():
    assert PerImage([WEAK, WEAK]).needs_concept(3) is False
    assert PerImage([WEAK, MAX]).needs_concept(3) is True
    assert PerImage([WEAK, MAX]).acts_from() == 15
    assert AS_TENSORS.acts_from() == 15


@pytest.mark.parametrize(
    "settings", [[], [None], ["weak"], [NegativePrompt()], [AS_TENSORS]], ids=repr
)
def test_rows_that_make_no_sense_are_refused(settings):
    with pytest.raises(BadValueError):
        PerImage(settings)


def test_lengths_must_agree():
    with pytest.raises(BadValueError, match="lengths"):
        SLD(scale=[1.0, 2.0], threshold=[0.1, 0.2, 0.3])
    with pytest.raises(BadValueError, match="empty"):
        SLD(scale=[])
    with pytest.raises(BadValueError, match="2 rows met a batch of 4"):
        PerImage([WEAK, MAX]).step(batch(0, torch.float32), torch.zeros(4, 4, 6, 6), 0, 7.5)
