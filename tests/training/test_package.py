"""Which UNet is packaged: the one that was trained last, or something between it and the old."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from training.generator import new_unet
from training.loop import CHECKPOINT
from training.package import unet_of


@pytest.fixture
def trained(tmp_path):
    """A working folder with a UNet, and the folder of the pipeline that it trained on from."""
    start, work = tmp_path / "start", tmp_path / "work"
    torch.manual_seed(0)
    before, after = new_unet(), new_unet()
    before.save_pretrained(start / "unet")
    (work / "ending").mkdir(parents=True)
    weights = {f"average.unet.{name}": p for name, p in after.state_dict().items()}
    save_file(weights, work / "ending" / CHECKPOINT)
    return work, start, before, after


@pytest.mark.parametrize("share", [0.25, 0.6, 1.0])
def test_a_share_of_the_way_is_that_much_of_the_weights_trained_and_the_rest_of_the_old(
    trained, share
):
    work, start, before, after = trained
    mixed = unet_of(work, start, share=share).state_dict()
    for name, old in before.state_dict().items():
        wanted = (1 - share) * old + share * after.state_dict()[name]
        torch.testing.assert_close(mixed[name], wanted)


def test_without_old_weights_or_new_ones_there_is_no_way_between(trained, tmp_path):
    work, start, before, after = trained
    name = "conv_out.bias"
    for unet, weights in (
        (unet_of(work, share=0.5), after),
        (unet_of(tmp_path / "none", start, share=0.5), before),
    ):
        assert torch.equal(unet.get_parameter(name), weights.get_parameter(name))
