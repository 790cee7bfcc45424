"""An FID network of random weights, and the same network as torch-fidelity states it."""

from __future__ import annotations

import importlib
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from safelatent.features.inception_network import InceptionNetwork


@cache
def random_network(seed: int = 0) -> InceptionNetwork:
    """Return a network through which differences between pictures neither vanish nor explode."""
    torch.manual_seed(seed)
    network = InceptionNetwork().eval().requires_grad_(False)
    for name, tensor in network.state_dict().items():
        if name.endswith("conv.weight"):
            torch.nn.init.kaiming_normal_(tensor, nonlinearity="relu")
        elif name.endswith("running_mean"):
            tensor.normal_(0, 0.1)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    return network


def torch_fidelitys(weights: Path) -> Any:
    """Return torch-fidelity's extractor with these weights, from uint8 pixels to a tuple.

    ``make`` puts the package aside: it brings a package named tests, and imports torchvision, which
    its network does not use. So only the network's own modules are imported.
    """
    place = Path(sys.prefix) / "peers/torch_fidelity"
    assert place.is_dir(), f"run make: it installs torch-fidelity into {place.parent}"
    package = types.ModuleType("torch_fidelity")
    package.__path__ = [str(place)]
    with patch.dict(sys.modules, {"torch_fidelity": package}):
        module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    return module.FeatureExtractorInceptionV3(
        "peer", ["2048"], feature_extractor_weights_path=str(weights)
    )
