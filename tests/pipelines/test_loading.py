"""``load``: guarded where it was saved guarded, and every damaged folder is one line."""

from __future__ import annotations

import logging
import warnings

import diffusers
import pytest
import torch

from safelatent import MAX, BadValueError, Guarded, UnsupportedError, guard, load
from safelatent.models.folder import GUARD_FILE, folder_kind
from tests import tiny
from tests.peer import Checker, StableDiffusionPipelineSafe

CALL = {"prompt": "a pirate with a pistol", "num_inference_steps": 6, "output_type": "latent"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return guard(tiny.pipeline(), "max", concept="weapons, blood").save_pretrained(
        tmp_path_factory.mktemp("saved") / "safe"
    )


def test_a_saved_guard_comes_back_guarded(folder):
    safe = load(str(folder))
    assert isinstance(safe, Guarded)
    assert (safe.guidance, str(safe.concept)) == (MAX, "weapons, blood")
    safe.set_progress_bar_config(disable=True)
    ours = safe(**CALL, generator=torch.Generator().manual_seed(0))
    wanted = guard(tiny.pipeline(), "max", concept="weapons, blood")(
        **CALL, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(ours.images, wanted.images)
    assert ours.receipts == wanted.receipts


def test_a_plain_folder_is_what_it_was(tmp_path):
    tiny.pipeline().save_pretrained(tmp_path)
    assert type(load(tmp_path)) is diffusers.StableDiffusionPipeline


def test_the_options_reach_a_guarded_folder_too(folder):
    assert load(folder, dtype=torch.bfloat16).dtype == torch.bfloat16
    assert load(folder, torch_dtype="float16").text_encoder.dtype == torch.float16


def test_a_guarded_repository_of_the_hub_is_loaded_guarded(monkeypatch, folder):
    import huggingface_hub

    asked = []
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: asked.append((a, k)))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(folder))
    assert isinstance(load("me/safe", revision="abc"), Guarded)
    assert isinstance(load("me/safe", token="secret"), Guarded)
    assert asked == [
        (("me/safe", GUARD_FILE), {"revision": "abc"}),
        (("me/safe", GUARD_FILE), {"revision": None, "token": "secret"}),
    ]


def test_settings_of_the_authors_pipeline_are_answered_with_ours(folder):
    with pytest.raises(TypeError, match=r"here it is guard\(pipe, SLD\(threshold=0\.1\)\)"):
        load(folder, sld_threshold=0.1)


@pytest.fixture(scope="module")
def of_the_authors(tmp_path_factory):
    """A folder as ``StableDiffusionPipelineSafe`` saves it, its checker included."""
    from transformers import CLIPConfig, CLIPImageProcessorPil

    tower = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    vision = tower | {"image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    checker = Checker(CLIPConfig(text_config=tower, vision_config=vision, projection_dim=8))
    parts = tiny.parts() | {
        "safety_checker": checker,
        "feature_extractor": CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
    }
    target = tmp_path_factory.mktemp("authors") / "sld"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        StableDiffusionPipelineSafe(**parts).save_pretrained(target)
    return target, checker


def test_the_authors_folder_is_the_pipeline_that_its_parts_make(of_the_authors, caplog):
    folder, checker = of_the_authors
    with caplog.at_level(logging.WARNING, logger="safelatent"):
        pipe = load(folder)
    assert type(pipe) is diffusers.StableDiffusionPipeline
    said = [record.getMessage() for record in caplog.records if record.name == "safelatent"]
    assert len(said) == 1
    assert "was saved by StableDiffusionPipelineSafe" in said[0]
    assert "not guarded yet" in said[0]
    assert torch.equal(pipe.safety_checker.concept_embeds, checker.concept_embeds)
    pipe.set_progress_bar_config(disable=True)
    out = guard(pipe, "max")("a cat", num_inference_steps=2)
    assert len(out.nsfw_content_detected) == len(out.receipts) == 1


def test_the_authors_folder_without_a_checker(of_the_authors, caplog):
    pipe = load(of_the_authors[0], safety_checker=None, requires_safety_checker=False)
    assert type(pipe) is diffusers.StableDiffusionPipeline
    assert pipe.safety_checker is None


def test_a_guard_without_its_model_is_refused(folder, tmp_path):
    (tmp_path / GUARD_FILE).write_bytes((folder / GUARD_FILE).read_bytes())
    with pytest.raises(UnsupportedError, match=r"has a guard and no model \(no folder 'pipeline'"):
        load(tmp_path)


def test_what_a_folder_is(folder, of_the_authors, tmp_path):
    assert folder_kind(folder) == "guarded"
    assert folder_kind(folder / "pipeline") == folder_kind(of_the_authors[0]) == "pipeline"
    assert folder_kind(tmp_path) is None


def test_a_refused_load_is_short_in_a_notebook(tmp_path):
    """The message, our frames, and no chain of what diffusers said before."""
    import traceback

    (tmp_path / "model_index.json").write_text("{")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UnsupportedError) as caught:
        load(tmp_path)
    lines = "".join(traceback.format_exception(caught.value)).splitlines()
    assert lines[-1].startswith("safelatent.errors.UnsupportedError: cannot read")
    frames = [line for line in lines if line.lstrip().startswith("File ")]
    assert all("safelatent" in line for line in frames[1:])
    assert "During handling" not in "".join(lines)
    assert "direct cause" not in "".join(lines)


@pytest.mark.parametrize("name", [5, None, "embeded"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(BadValueError, match="unknown model"):
        load(name)
