"""The figures of the card are measured only where the weights are of the world in ``training/``."""

from __future__ import annotations

import json

import pytest

from safelatent.errors import BadValueError
from training.measure import check_world
from training.scenes import SIZE


def model(folder, sample_size, vae):
    for part, config in (("unet", {"sample_size": sample_size}), ("vae", vae)):
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps(config))
    return folder


def test_weights_of_this_world_are_measured(tmp_path):
    check_world(model(tmp_path, SIZE // 16, {"block_out_channels": [8] * 5}))


@pytest.mark.parametrize(
    "vae", [{"block_out_channels": [8, 8, 8, 8]}, {"decoder_block_out_channels": [8, 8, 8, 8]}]
)
def test_weights_of_an_earlier_world_are_refused(tmp_path, vae):
    with pytest.raises(BadValueError, match="draw 64 x 64 pixels and training/ makes scenes of"):
        check_world(model(tmp_path, 8, vae))
