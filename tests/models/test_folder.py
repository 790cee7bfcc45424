"""What a folder holds, and every way in which its files can be damaged: one line each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safelatent import UnsupportedError, load
from safelatent.hashing import digest, file_digest
from safelatent.models.folder import (
    GUARD_FILE,
    INDEX,
    MAX_JSON,
    MODULAR_INDEX,
    check_folder,
    folder_kind,
    model_digest,
    read_object,
)

WEIGHTS = "diffusion_pytorch_model"


def folder_of(root: Path, *files: str) -> Path:
    """A folder with an index and these empty files."""
    (root / INDEX).write_text("{}")
    for name in files:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ((), None),
        ((INDEX,), "pipeline"),
        ((MODULAR_INDEX,), "modular"),
        ((GUARD_FILE, "pipeline"), "guarded"),
        ((GUARD_FILE, INDEX), "guarded"),
        (("x.safetensors",), None),
    ],
    ids=str,
)
def test_the_kind(tmp_path, files, kind):
    for name in files:
        (tmp_path / name).touch()
    assert folder_kind(tmp_path) == kind


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ((GUARD_FILE,), r"holds a guarded pipeline; load it with safelatent\.load"),
        ((MODULAR_INDEX,), "holds a modular pipeline"),
        ((), r"has no model_index\.json"),
        ((INDEX,), "has no safetensors weights; save it again"),
        ((INDEX, "model.ckpt"), r"\(model\.ckpt is a pickle, which can run code\)"),
    ],
    ids=str,
)
def test_what_holds_no_plain_pipeline_is_refused(tmp_path, files, reason):
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(UnsupportedError, match=reason):
        check_folder(tmp_path)


@pytest.mark.parametrize(
    ("files", "variant"),
    [
        ((f"unet/{WEIGHTS}.safetensors",), None),
        ((f"unet/{WEIGHTS}-00001-of-00002.safetensors",), None),
        ((f"unet/{WEIGHTS}.safetensors", f"unet/{WEIGHTS}.fp16.safetensors"), None),
        ((f"unet/{WEIGHTS}.safetensors", f"unet/{WEIGHTS}.fp16.safetensors"), "fp16"),
        ((f"unet/{WEIGHTS}.fp16.safetensors", "vae/model.safetensors"), "fp16"),
        ((f"unet/{WEIGHTS}.fp16-00001-of-00002.safetensors",), "fp16"),
        (("unet/lora.safetensors",), None),
    ],
    ids=str,
)
def test_a_variant_that_is_there(tmp_path, files, variant):
    check_folder(folder_of(tmp_path, *files), variant)


@pytest.mark.parametrize(
    ("files", "variant", "reason"),
    [
        (
            (f"unet/{WEIGHTS}.fp16.safetensors",),
            None,
            "only weights of variant 'fp16' for some parts; give variant=\"fp16\"",
        ),
        (
            (f"unet/{WEIGHTS}.safetensors", "text_encoder/model.non_ema.safetensors"),
            None,
            'give variant="non_ema"',
        ),
        (
            (f"unet/{WEIGHTS}.fp16-00001-of-00002.safetensors",),
            None,
            'give variant="fp16"',
        ),
        (
            (f"unet/{WEIGHTS}.fp16.safetensors",),
            "bf16",
            "no weights of variant 'bf16'; it has fp16",
        ),
        (
            (f"unet/{WEIGHTS}.safetensors",),
            "fp16",
            "no weights of variant 'fp16'; leave variant out",
        ),
    ],
    ids=str,
)
def test_a_variant_that_is_missing(tmp_path, files, variant, reason):
    with pytest.raises(UnsupportedError, match=reason):
        check_folder(folder_of(tmp_path, *files), variant)


DAMAGED = {
    "empty": b"",
    "blank": b" \n",
    "no JSON": b"{'a': 1}",
    "cut": b'{"_class_name": "Stable',
    "a list": b"[]",
    "text": b'"StableDiffusionPipeline"',
    "a number": b"5",
    "null": b"null",
    "no UTF-8": b"\xff\xfe{",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "deep": b"[" * 200_000,
    "huge": b"{" + b" " * MAX_JSON + b"}",
    "a number too long": b'{"a": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_object_is_one_line(tmp_path, content):
    file = tmp_path / INDEX
    file.write_bytes(content)
    with pytest.raises(UnsupportedError) as caught:
        read_object(file)
    message = str(caught.value)
    assert message.startswith((f"cannot read {file}: ", f"{file} has 1,000,002 bytes"))
    assert "\n" not in message
    assert len(message) < 500


def test_what_cannot_be_opened_is_one_line(tmp_path):
    (tmp_path / "folder.json").mkdir()
    for name in ("folder.json", "missing.json"):
        with pytest.raises(UnsupportedError, match=f"cannot read .*{name}"):
            read_object(tmp_path / name)


INDEXES = {
    "no class": ({}, "names the class None"),
    "a number": ({"_class_name": 5}, "names the class 5"),
    "null": ({"_class_name": None}, "names the class None"),
    "an object": ({"_class_name": {"a": 1}}, "names the class {'a': 1}"),
    "its own code": ({"_class_name": ["mine", "Mine"]}, "defined by code in the model.s folder"),
    "no such class": (
        {"_class_name": "StableDifusionPipeline"},
        r"diffusers [\d.]+ has no such pipeline \(did you mean 'StableDiffusionPipeline'\?\)",
    ),
    "no pipeline": ({"_class_name": "UNet2DConditionModel"}, "which is no pipeline of diffusers"),
    "a modular one": ({"_class_name": "ModularPipeline"}, "which is no pipeline of diffusers"),
    "a function": ({"_class_name": "load_image"}, "has no such pipeline"),
    "empty": ({"_class_name": ""}, "has no such pipeline"),
    "private": ({"_class_name": "__dict__"}, "which is no pipeline of diffusers"),
    "missing parts": ({"_class_name": "StableDiffusionPipeline"}, "cannot load"),
    "a part that is a number": (
        {"_class_name": "StableDiffusionPipeline", "unet": 5},
        "has 5 for unet; it must be a list of library and class",
    ),
    "a part without a class": (
        {"_class_name": "StableDiffusionPipeline", "vae": ["diffusers"]},
        r"has \['diffusers'\] for vae",
    ),
    "a part of three": (
        {"_class_name": "FluxPipeline", "transformer": ["a", "b", "c"]},
        r"has \['a', 'b', 'c'\] for transformer",
    ),
    "a class that is a number": (
        {"_class_name": "StableDiffusionPipelineSafe", "scheduler": ["diffusers", 5]},
        r"has \['diffusers', 5\] for scheduler",
    ),
    "a part that is text": (
        {"_class_name": "StableDiffusionXLPipeline", "tokenizer": "transformers.CLIPTokenizer"},
        "has 'transformers.CLIPTokenizer' for tokenizer",
    ),
    "a part that is null": (
        {"_class_name": "StableDiffusionPipeline", "unet": None},
        "has None for unet",
    ),
    "parts of another library": (
        {"_class_name": "StableDiffusionPipeline", "unet": ["os", "system"]},
        "cannot load",
    ),
    "parts of a class that is none": (
        {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "NoSuchModel"]},
        "cannot load",
    ),
}


@pytest.mark.parametrize(("index", "reason"), INDEXES.values(), ids=INDEXES)
def test_a_strange_index_is_one_line(tmp_path, index, reason):
    folder_of(tmp_path, f"unet/{WEIGHTS}.safetensors")
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(UnsupportedError, match=reason) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800


def test_the_digest_is_of_names_and_contents(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("weights")
    (tmp_path / "README.md").write_text("is not read")
    first = model_digest(tmp_path)
    assert first == digest(
        {name: file_digest(tmp_path / name) for name in ("model.safetensors", "unet/config.json")}
    )
    (tmp_path / "README.md").write_text("has changed")
    assert model_digest(tmp_path) == first
    (tmp_path / "unet/config.json").rename(tmp_path / "unet/other.json")
    assert model_digest(tmp_path) != first


def test_a_folder_without_model_files_has_no_digest(tmp_path):
    with pytest.raises(UnsupportedError, match="holds no model files"):
        model_digest(tmp_path)
