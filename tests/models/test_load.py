from __future__ import annotations

import shutil

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from safelatent import BadValueError, UnsupportedError, guard, load
from safelatent.models import EMBEDDED, load_pipeline, model_folder
from safelatent.models.load import loading_options
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


def test_a_hub_that_cannot_be_reached_is_one_line_with_the_way_out(monkeypatch):
    def unreachable(*_, **__):
        raise LocalEntryNotFoundError("An error happened; make sure your connection is on.")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(UnsupportedError, match=r"^cannot load 'foo/bar': .*name a folder") as found:
        load("foo/bar")
    assert "HF_HUB_OFFLINE=1" in str(found.value)


def test_a_revision_is_of_a_hub_id_alone(folder, tmp_path, monkeypatch):
    """A folder that has the name of a Hub id comes first; its pin would be lost in silence."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, tmp_path / "owner/name")
    for name in ("embedded", str(folder), "owner/name"):
        with pytest.raises(BadValueError, match=r"the revision is 'v1', .* on this machine"):
            load(name, revision="v1")


def test_where_a_models_files_are(folder):
    assert model_folder("embedded") == EMBEDDED
    assert model_folder(str(folder)) == folder
    with pytest.raises(UnsupportedError, match="'nobody/nothing' is not on this machine") as caught:
        model_folder("nobody/nothing", "main")
    assert "\n" not in str(caught.value)


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


def test_the_plain_loader_refuses_a_guarded_folder(tmp_path):
    (tmp_path / "safelatent.json").touch()
    with pytest.raises(UnsupportedError, match=r"load it with safelatent\.load, guarded"):
        load_pipeline(str(tmp_path))


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": torch.float16},
        {"torch_dtype": torch.float16},
        {"dtype": "float16"},
        {"torch_dtype": "torch.float16"},
        {"dtype": torch.float16, "torch_dtype": torch.float16},
        {"dtype": None, "torch_dtype": torch.float16},
    ],
    ids=str,
)
def test_dtype_by_both_names(options):
    """No part is left in another precision, and no deprecation is warned of (an error here)."""
    pipe = load("embedded", **options)
    assert {pipe.unet.dtype, pipe.vae.dtype, pipe.text_encoder.dtype} == {torch.float16}


def test_without_a_dtype_all_parts_are_single():
    pipe = load("embedded")
    assert {pipe.unet.dtype, pipe.vae.dtype, pipe.text_encoder.dtype} == {torch.float32}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"dtype": torch.float16, "torch_dtype": torch.float32},
            r"dtype is torch\.float16 and torch_dtype is torch\.float32; they are one setting",
        ),
        ({"dtype": "half precision"}, "dtype is 'half precision'; it must be a floating-point"),
        ({"torch_dtype": torch.int8}, r"torch_dtype is torch\.int8; it must be a floating-point"),
        ({"dtype": 16}, "dtype is 16; it must be"),
        ({"dtype": "load"}, "dtype is 'load'; it must be"),
        ({"dtype": {"unet": "int4"}}, "dtype is 'int4'; it must be"),
    ],
    ids=str,
)
def test_dtypes_that_are_none_are_refused(options, reason):
    with pytest.raises(BadValueError, match=reason):
        load("embedded", **options)


def test_a_dtype_per_part():
    options = loading_options({"dtype": {"unet": "float16", "default": torch.float32}})
    # The oldest releases of diffusers call it torch_dtype.
    assert list(options.values()) == [{"unet": torch.float16, "default": torch.float32}]


def test_options_that_the_embedded_model_does_not_have_are_refused():
    """Diffusers would only warn of them, and its warnings are not shown here."""
    with pytest.raises(TypeError, match=r"no option 'dtpye' \(did you mean 'dtype'\?\)"):
        load("embedded", dtpye=torch.float16)
    with pytest.raises(UnsupportedError, match="no weights of variant 'fp16'"):
        load("embedded", variant="fp16")


def test_an_error_of_any_kind_is_one_line(folder, tmp_path):
    """Weights of other shapes: diffusers lists every one of them over many lines."""
    copy = tmp_path / "other"
    shutil.copytree(folder, copy)
    config = copy / "unet/config.json"
    config.write_text(config.read_text().replace("32", "48"))
    with pytest.raises(UnsupportedError, match="cannot load") as caught:
        load(copy)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
