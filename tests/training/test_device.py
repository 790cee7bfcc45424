"""Half precision is used where a device has it."""

from __future__ import annotations

import pytest
import torch

from training.device import half_precision


@pytest.mark.parametrize("has_it", [True, False])
def test_a_cpu_without_the_instructions_computes_in_single_precision(monkeypatch, has_it):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_it)
    with half_precision(torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if has_it else torch.float32)


def test_a_gpu_always_has_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    asked = []
    monkeypatch.setattr(torch, "autocast", lambda *given, **options: asked.append((given, options)))
    half_precision(torch.device("cuda"))
    assert asked == [(("cuda", torch.bfloat16), {"enabled": True})]
