"""The FID network against torch-fidelity's, on random weights."""

from __future__ import annotations

import torch

from safelatent.features.inception_network import WIDTH
from tests.features.random_inception import random_network, torch_fidelitys


def test_torch_fidelity_has_the_same_weights_and_features(tmp_path):
    network = random_network()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    peer = torch_fidelitys(tmp_path / "weights.pth")  # refuses names too many or too few
    pixels = torch.randint(0, 256, (2, 3, 299, 299), dtype=torch.uint8)
    with torch.no_grad():
        mine = network(pixels.float())
    assert mine.shape == (2, WIDTH)
    torch.testing.assert_close(mine, peer(pixels)[0], rtol=1e-5, atol=1e-6)
    assert mine.std(dim=0).max() > 1e-3, "the two pictures have different features"


def test_it_has_the_published_number_of_tensors():
    assert len(random_network().state_dict()) == 566
