from __future__ import annotations

import shutil

import pytest
import torch

from safelatent import BadValueError, UnsupportedError, guard, load
from tests import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("models") / "tiny"
    tiny.pipeline().save_pretrained(target)
    return target


def test_a_folder(folder):
    pipe = tiny.quiet(load(str(folder)))
    assert type(pipe).__name__ == "StableDiffusionPipeline"
    assert pipe.unet.dtype == torch.float32
    assert guard(pipe, "max")("a cat", num_inference_steps=2).receipts[0].guided_steps == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("embeded", "did you mean 'embedded'"),
        ("", "unknown model ''"),
        ("no/such/folder", "unknown model 'no/such/folder'"),
        ("/nowhere", "unknown model '/nowhere'"),
        ("./nowhere", "unknown model './nowhere'"),
        ("../nowhere", "unknown model '../nowhere'"),
        ("owner/name?x", "unknown model"),
    ],
)
def test_what_cannot_be_a_model_is_refused(name, message):
    with pytest.raises(BadValueError, match=message):
        load(name)


def test_a_file_is_no_model(folder):
    with pytest.raises(BadValueError, match="unknown model"):
        load(str(folder / "model_index.json"))


def test_a_hub_that_cannot_be_reached_is_one_clear_line():
    with pytest.raises(UnsupportedError, match="cannot load 'nobody/nothing'") as caught:
        load("nobody/nothing", revision="main")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match=r"no model_index\.json"):
        load(str(tmp_path))


def test_pickles_are_refused(folder, tmp_path):
    copy = tmp_path / "pickled"
    shutil.copytree(folder, copy)
    for weights in copy.rglob("*.safetensors"):
        torch.save({}, weights.with_name("diffusion_pytorch_model.bin"))
        weights.unlink()
    with pytest.raises(UnsupportedError, match=r"no safetensors weights .*pickle"):
        load(str(copy))


def test_one_pickle_among_safetensors_is_not_read(folder, tmp_path):
    copy = tmp_path / "mixed"
    shutil.copytree(folder, copy)
    unet = copy / "unet/diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_suffix(".bin"))
    with pytest.raises(UnsupportedError, match="cannot load"):
        load(str(copy))


def test_cut_weights_are_refused(folder, tmp_path):
    copy = tmp_path / "cut"
    shutil.copytree(folder, copy)
    unet = copy / "unet/diffusion_pytorch_model.safetensors"
    unet.write_bytes(unet.read_bytes()[:1000])
    with pytest.raises(UnsupportedError, match="cannot load"):
        load(str(copy))


@pytest.mark.parametrize("option", [{"trust_remote_code": True}, {"custom_pipeline": "x"}], ids=str)
def test_no_code_comes_with_a_model(folder, option):
    with pytest.raises(UnsupportedError, match="no code is run"):
        load(str(folder), **option)
