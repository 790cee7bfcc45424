"""Where a denoiser first reads the text: by comparing every layer's result for two texts."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from benchmarks import prefix

# What embeds time and text, before any latents meet them.
EMBEDDING = ("time_", "add_", "context_embedder")


@torch.no_grad()
def results(model: torch.nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """The first result of every layer without layers, in the order in which they are called."""
    found: dict[str, torch.Tensor] = {}

    handles = [
        module.register_forward_hook(partial(kept, found, name))
        for name, module in model.named_modules()
        if not list(module.children())
    ]
    model(**prefix.inputs(model, "cpu", seed))
    for handle in handles:
        handle.remove()
    return found


def kept(found: dict[str, torch.Tensor], name: str, _: Any, __: Any, result: torch.Tensor) -> None:
    found.setdefault(name, result)


@pytest.mark.parametrize("name", prefix.READS)
def test_no_result_depends_on_the_text_before_the_layer_that_is_named(name):
    model = prefix.made(name, "cpu", small=True).eval()
    one, other = results(model, 1), results(model, 2)
    differ = [
        layer
        for layer, result in one.items()
        if not layer.startswith(EMBEDDING) and not torch.equal(result, other[layer])
    ]
    reads = prefix.READS[name]
    assert f"{differ[0]}.".startswith(f"{reads}.")


def test_operations_are_counted_up_to_that_layer():
    found = prefix.counted(prefix.EMBEDDED_NAME)
    config = prefix.made(prefix.EMBEDDED_NAME, "meta").config
    first = config.block_out_channels[0]
    conv_in = 2 * config.sample_size**2 * 9 * config.in_channels * first
    resnet = 2 * 2 * config.sample_size**2 * 9 * first * first
    assert conv_in + resnet < found["before"] < found["whole"] / 2
