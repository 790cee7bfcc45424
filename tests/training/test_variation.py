"""What pictures differ by that show the same."""

from __future__ import annotations

import torch

from training.variation import vary


def test_varied_pictures_stay_pictures():
    pixels = torch.rand((16, 3, 64, 64), generator=torch.Generator().manual_seed(0)) * 2 - 1
    varied = vary(pixels, torch.Generator().manual_seed(1))
    assert varied.abs().max() <= 1
    assert not torch.equal(varied, pixels)
    assert torch.equal(varied, vary(pixels, torch.Generator().manual_seed(1)))
    assert (varied - pixels).abs().mean() < 0.4
