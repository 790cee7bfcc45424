"""The latent distance against diffusers' own encoding, by both kinds of autoencoder."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from safelatent.errors import BadValueError, UnsupportedError
from safelatent.features import latent_distance
from safelatent.models.load import EMBEDDED
from tests.features.tiny_clip import picture


def pixels(*seeds: int) -> torch.Tensor:
    stack = np.stack([np.asarray(picture(seed, 32)) for seed in seeds])
    return torch.from_numpy(stack).permute(0, 3, 1, 2) / 127.5 - 1


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    small = {"block_out_channels": (8,), "norm_num_groups": 4, "layers_per_block": 1}
    vae = AutoencoderKL(**small, scaling_factor=0.5, shift_factor=0.25)
    vae.save_pretrained(tmp_path / "vae")
    index = {"_class_name": "Any", "vae": ["diffusers", "AutoencoderKL"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    return tmp_path


@torch.no_grad()
def test_it_is_the_difference_of_the_scaled_means(folder):
    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    one, other = (vae.encode(pixels(*n)).latent_dist.mode() for n in ((0, 1, 2), (3, 4, 5)))
    expected = 0.5 * (one - other).square().mean(dim=(1, 2, 3)).sqrt()
    found = latent_distance(str(folder), batch_size=2)
    pairs = [(picture(n, 32), picture(n + 3, 32)) for n in range(3)]
    np.testing.assert_allclose(found.rows(pairs)[:, 0], expected, rtol=1e-4)
    assert found.rows([(picture(0, 32), picture(0, 32))])[0] == 0
    assert found.rows([]).shape == (0, found.width) == (0, 1)


@torch.no_grad()
def test_the_embedded_models_autoencoder_is_read_too():
    vae = AutoencoderKL.from_pretrained(EMBEDDED / "vae", torch_dtype=torch.float32).eval()
    one, other = (vae.encode(pixels(n)).latent_dist.mode() for n in (0, 1))
    expected = vae.config.scaling_factor * (one - other).square().mean().sqrt()
    found = latent_distance("embedded").rows([(picture(0, 32), picture(1, 32))])
    np.testing.assert_allclose(found, [[expected]], rtol=1e-4)


def test_pictures_of_several_sizes_are_compared_in_their_own(folder):
    found = latent_distance(str(folder))
    pairs = [(picture(n, size), picture(n + 9, size)) for n, size in enumerate((16, 24, 16, 16))]
    together = found.rows(pairs)
    np.testing.assert_allclose(together, [found.rows([pair])[0] for pair in pairs], rtol=1e-4)
    with pytest.raises(BadValueError, match=r"have \(16, 16\) and \(24, 24\) pixels"):
        found.rows([(picture(0, 16), picture(1, 24))])


def test_the_hash_is_of_weights_and_units(folder):
    first = latent_distance(str(folder)).hash
    assert latent_distance(str(folder), batch_size=3).hash == first
    assert latent_distance("embedded").hash != first
    config = folder / "vae/config.json"
    config.write_text(config.read_text().replace('"scaling_factor": 0.5', '"scaling_factor": 0.6'))
    assert latent_distance(str(folder)).hash != first


def test_what_loads_it_again_loads_the_same(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    found = latent_distance(folder.name)
    load = found.loader()
    monkeypatch.chdir("/")
    assert load().hash == found.hash


def test_a_model_without_one_is_one_line(folder, tmp_path):
    with pytest.raises(UnsupportedError, match="is not on this machine"):
        latent_distance("nobody/nothing-of-the-kind")
    (folder / "model_index.json").write_text('{"_class_name": "Any", "vae": ["os", "system"]}')
    with pytest.raises(UnsupportedError, match=r"has no autoencoder of diffusers \(system\)"):
        latent_distance(str(folder))


def test_pictures_too_small_for_the_autoencoder_are_refused_in_one_line():
    with pytest.raises(BadValueError, match=r"cannot encode pictures of 4 x 4 pixels"):
        latent_distance("embedded").rows([(picture(0, 4), picture(1, 4))])
