"""The FID network from a file: known by its hash, refused otherwise, or taken as one's own."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from safelatent.detectors import images
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.features import convert_inception, inception
from safelatent.hashing import file_digest
from tests.features.random_inception import random_network
from tests.features.tiny_clip import picture

MODULE = importlib.import_module("safelatent.features.inception")


class Small(torch.nn.Module):
    """Mean colour of the pixels; like NVIDIA's file it has its layers under one name."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.AdaptiveAvgPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).flatten(1)


class Flat(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inception")
    network = random_network()
    save_file(network.state_dict(), folder / "weights.safetensors")
    torch.save(network.state_dict(), folder / "weights.pth")
    for name, module in (("small", Small()), ("flat", Flat())):
        script(module).save(str(folder / f"{name}.pt"))
    return folder


def script(module: torch.nn.Module) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(module)


def test_pictures_are_resized_by_antialiased_bicubic(folder):
    found = inception(folder / "weights.safetensors", own=True, batch_size=2)
    pictures = [picture(n, size=310 + n) for n in range(3)]
    small = [one.resize((299, 299), Image.Resampling.BICUBIC) for one in pictures]
    pixels = torch.from_numpy(np.stack([np.asarray(one) for one in small])).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = random_network()(pixels.float())
    np.testing.assert_allclose(found.images(pictures), expected, rtol=1e-4, atol=1e-5)
    assert (found.width, found.published) == (2048, False)
    assert found.images([]).shape == (0, 2048)


def test_an_unknown_hash_is_refused_unless_it_is_ones_own(folder):
    for name in ("weights.safetensors", "small.pt"):
        with pytest.raises(BadValueError, match=r"unknown hash .* say by --own-inception"):
            inception(folder / name)
    found = inception(folder / "small.pt", own=True)
    grey = Image.new("RGB", (32, 32), (1, 2, 3))
    np.testing.assert_allclose(found.images([grey]), [[1, 2, 3]], rtol=1e-6)
    assert not found.published


def test_the_known_torchscript_is_run_without_its_own_resizing(folder, monkeypatch):
    monkeypatch.setattr(MODULE, "TORCHSCRIPT", file_digest(folder / "small.pt"))
    found = inception(folder / "small.pt")
    grey = Image.new("RGB", (32, 32), (128, 192, 0))
    np.testing.assert_allclose(found.images([grey]), [[0, 0.5, -1]], rtol=1e-6)
    assert found.published


def test_the_known_pickle_is_converted_and_then_known(folder, monkeypatch, tmp_path):
    target = tmp_path / "inception.safetensors"
    with pytest.raises(BadValueError, match="pytorch-fid's weights have 6726825d0af5"):
        convert_inception(folder / "weights.pth", target)
    monkeypatch.setattr(MODULE, "PICKLED", file_digest(folder / "weights.pth"))
    assert convert_inception(folder / "weights.pth", target) == target
    mine, raw = load_file(target), load_file(folder / "weights.safetensors")
    assert all(torch.equal(mine[name], raw[name]) for name in raw)
    converted = inception(target)
    assert converted.published
    assert converted.hash == inception(folder / "weights.safetensors", own=True).hash
    with pytest.raises(BadValueError, match="exists already"):
        convert_inception(folder / "weights.pth", target)
    with safe_open(target, framework="pt") as stored:
        metadata = stored.metadata()
    mine["Conv2d_1a_3x3.conv.weight"][0] += 1
    save_file(mine, target, metadata)
    with pytest.raises(BadValueError, match="unknown hash"):
        inception(target)


def test_a_pickle_is_answered_with_how_to_convert_it(folder):
    words = r"run `safelatent convert-inception weights\.pth inception\.safetensors`"
    with pytest.raises(BadValueError, match=words):
        inception(folder / "weights.pth", own=True)


def test_the_hash_is_of_weights_resizing_and_colours(folder, monkeypatch):
    first = inception(folder / "small.pt", own=True).hash
    assert inception(folder / "small.pt", own=True, batch_size=3).hash == first
    assert inception(folder / "weights.safetensors", own=True).hash != first
    for name, other in (("colours", "BGR"), ("resize", "bilinear"), ("side", 300)):
        with monkeypatch.context() as patched:
            patched.setitem(MODULE._PICTURES, name, other)
            assert inception(folder / "small.pt", own=True).hash != first, name
    assert "transparency on white" in images.COLOURS


def test_what_is_no_network_is_one_line(folder, tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing of the kind")
    (tmp_path / "broken.pt").write_bytes((folder / "small.pt").read_bytes()[:-40])
    for file, error, words in (
        (tmp_path / "nowhere.pt", BadValueError, "is not a file"),
        (tmp_path / "broken.safetensors", UnsupportedError, "cannot read"),
        (tmp_path / "other.safetensors", UnsupportedError, "does not hold the FID network's"),
        (tmp_path / "broken.pt", BadValueError, "neither safetensors nor TorchScript"),
        (folder / "flat.pt", UnsupportedError, r"returns the shape \(268203,\)"),
    ):
        with pytest.raises(error, match=words):
            inception(file, own=True)
    with pytest.raises(BadValueError, match="batch is 0"):
        inception(folder / "small.pt", own=True, batch_size=0)


def test_the_known_hashes_are_the_published_ones():
    # pytorch-fid's file carries the beginning of its hash in its name.
    assert MODULE.PICKLED.startswith("6726825d")
    assert len(MODULE.PICKLED) == len(MODULE.TORCHSCRIPT) == 64
