from __future__ import annotations

import json
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers import DiffusionPipeline

from safelatent import (
    MAX,
    SLD,
    BadValueError,
    Guarded,
    NegativePrompt,
    NoiseLevel,
    UnsupportedError,
    guard,
    load,
)
from safelatent.guidance import PRESETS, PerImage
from safelatent.models import load_pipeline
from safelatent.pipelines.guard_file import GUARD_FILE, as_values, from_values, read_guard
from tests import tiny

CALL = {"prompt": "a pirate with a pistol", "num_inference_steps": 6, "output_type": "latent"}
SAFETIES = [
    *PRESETS.values(),
    SLD(warmup=NoiseLevel(0.8)),
    SLD(scale=[1.0, 2.0]),
    NegativePrompt(),
    PerImage([MAX, SLD()]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return guard(tiny.pipeline(), "max", concept="weapons, blood").save_pretrained(
        tmp_path_factory.mktemp("saved") / "safe"
    )


@pytest.mark.parametrize("safety", SAFETIES, ids=str)
def test_every_safety_comes_back_from_json(safety):
    assert from_values(json.loads(json.dumps(as_values(safety)))) == safety


def test_a_saved_guard_comes_back_guarded(folder):
    safe = load(str(folder))
    assert isinstance(safe, Guarded)
    assert (safe.guidance, str(safe.concept)) == (MAX, "weapons, blood")
    ours = tiny.quiet(safe.pipe) and safe(**CALL, generator=torch.Generator().manual_seed(0))
    wanted = guard(tiny.pipeline(), "max", concept="weapons, blood")(
        **CALL, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(ours.images, wanted.images)
    assert ours.receipts == wanted.receipts


@pytest.mark.parametrize(
    "loader",
    [DiffusionPipeline, diffusers.StableDiffusionPipeline, diffusers.AutoPipelineForText2Image],
)
def test_no_loader_gives_it_unguarded(folder, loader):
    with pytest.raises(OSError, match=r"model_index\.json"):
        loader.from_pretrained(folder, local_files_only=True)


def test_our_own_plain_loader_refuses_it(folder):
    with pytest.raises(
        UnsupportedError, match=r"holds a guarded pipeline; safelatent\.load gives it back guarded"
    ):
        load_pipeline(str(folder))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "list indices"),
        ('{"concept": "blood"}', "no 'safety'"),
        ('{"safety": "negative prompt"}', "no 'concept'"),
        ('{"safety": "off", "concept": "blood"}', "'off' is none"),
        ('{"safety": {}, "concept": "blood"}', "it must have the settings warmup"),
        ('{"safety": "negative prompt", "concept": ""}', "the concept is empty"),
        (
            '{"safety": {"warmup": 5, "scale": 0.5, "threshold": 0, "momentum": 0, "decay": 0}, "concept": "blood"}',
            "scale is 0.5",
        ),
    ],
)
def test_a_damaged_guard_is_no_unguarded_pipeline(folder, tmp_path, content, reason):
    (tmp_path / "pipeline").symlink_to(folder / "pipeline")
    (tmp_path / GUARD_FILE).write_text(content)
    with pytest.raises(
        UnsupportedError, match=f"does not say how the pipeline is guarded .*{reason}"
    ):
        load(str(tmp_path))


def test_a_guidance_of_ones_own_cannot_be_saved(tmp_path):
    class Mine(SLD):
        pass

    with pytest.raises(BadValueError, match="cannot save the guidance"):
        guard(tiny.pipeline(), Mine()).save_pretrained(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_plain_folder_is_what_it_was(tmp_path):
    tiny.pipeline().save_pretrained(tmp_path)
    assert type(load(str(tmp_path))) is diffusers.StableDiffusionPipeline


def test_the_hub_gets_a_whole_guarded_folder(monkeypatch):
    import huggingface_hub

    made, sent = [], {}

    def upload_folder(*, repo_id, folder_path, commit_message):
        sent[repo_id] = read_guard(Path(folder_path)), commit_message
        return "https://hub/commit/1"

    monkeypatch.setattr(
        huggingface_hub, "create_repo", lambda repo_id, **options: made.append((repo_id, options))
    )
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload_folder)
    assert (
        guard(tiny.pipeline(), "max").push_to_hub("me/safe", private=True) == "https://hub/commit/1"
    )
    assert made == [("me/safe", {"private": True, "exist_ok": True})]
    (guidance, _), message = sent["me/safe"]
    assert guidance == MAX
    assert message == "Upload a guarded pipeline"


def test_a_guarded_repository_of_the_hub_is_loaded_guarded(monkeypatch, folder):
    import huggingface_hub

    asked = []
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: asked.append((a, k)))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(folder))
    assert isinstance(load("me/safe", revision="abc"), Guarded)
    assert asked == [(("me/safe", GUARD_FILE), {"revision": "abc"})]
