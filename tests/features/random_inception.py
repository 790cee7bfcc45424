"""An FID network of random weights, and the same network as torch-fidelity states it."""

from __future__ import annotations

import importlib.util
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any

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

    Its package imports torchvision, which its network does not use; so only the network's own
    modules are imported.
    """
    spec = importlib.util.find_spec("torch_fidelity")
    assert spec is not None, "make installs it: pip install --no-deps torch-fidelity"
    package = types.ModuleType("torch_fidelity")
    package.__path__ = list(spec.submodule_search_locations or ())
    before = sys.modules.get("torch_fidelity")
    sys.modules["torch_fidelity"] = package
    try:
        module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    finally:
        if before is None:
            del sys.modules["torch_fidelity"]
        else:
            sys.modules["torch_fidelity"] = before
    return module.FeatureExtractorInceptionV3(
        "peer", ["2048"], feature_extractor_weights_path=str(weights)
    )
