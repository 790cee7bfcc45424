from __future__ import annotations

from dataclasses import replace

import pytest
from diffusers import StableDiffusionImg2ImgPipeline

from safelatent.detectors import Protocol, never
from safelatent.errors import UnsupportedError
from safelatent.metrics.by_category import OVERALL as OVERALL_OF_STATISTICS
from safelatent.prompts import embedded_i2p
from safelatent.prompts.prompt import OVERALL
from safelatent.runs import asking, prepare
from safelatent.runs.maker import Maker
from safelatent.runs.prepare import Asked, load_parts, settings_of
from tests import tiny

PROMPTS = embedded_i2p().limit(2)
PROTOCOL = Protocol(name="test", detectors=(never(),))
COMMIT = "39593d5650112b4cc580433f6b0435385882d819"


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model as the Hub's cache keeps it."""
    folder = tmp_path / "models--owner--name/snapshots" / COMMIT
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet/model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(prepare, "model_folder", lambda name, revision: folder)
    return folder


def test_the_revision_of_a_hub_id_is_the_commit_that_was_loaded(pipe, model):
    """Also where none was named: what is there today may be another tomorrow."""
    for revision in (None, "main", COMMIT):
        settings = settings_of(
            Asked(model="owner/name", revision=revision), PROMPTS, pipe, PROTOCOL
        )
        assert settings.revision == COMMIT
    other = replace(settings, revision="0" * 40)
    assert settings.differences(other) == [f'revision is "{COMMIT}", was "{"0" * 40}"']


def test_the_embedded_model_has_no_revision(pipe):
    assert settings_of(Asked(), PROMPTS, pipe, PROTOCOL).revision is None


def test_the_models_digest_tells_every_file_that_determines_images(pipe, model):
    def digest() -> str:
        return settings_of(Asked(model="owner/name"), PROMPTS, pipe, PROTOCOL).model_digest

    digests = [digest()]
    (model / "unet/model.safetensors").write_bytes(b"other weights")
    digests.append(digest())
    (model / "scheduler.json").write_text("{}")
    digests.append(digest())
    (model / "scheduler.json").rename(model / "scheduler_config.json")
    digests.append(digest())
    assert len(set(digests)) == 4
    (model / "README.md").write_text("says nothing of the images")
    assert digest() == digests[-1]


def test_sizes_are_the_prompts_own_unless_the_model_is_small(pipe, model):
    assert settings_of(Asked(), PROMPTS, pipe, PROTOCOL).size == "model"
    assert settings_of(Asked(size="prompt"), PROMPTS, pipe, PROTOCOL).size == "prompt"


def test_a_pipeline_that_no_run_can_draw_with_is_refused(monkeypatch, pipe):
    from_an_image = StableDiffusionImg2ImgPipeline.__new__(StableDiffusionImg2ImgPipeline)
    monkeypatch.setattr(prepare, "load_pipeline", lambda *_, **__: from_an_image)
    with pytest.raises(
        UnsupportedError,
        match="runs draw from text alone, and StableDiffusionImg2ImgPipeline from an image too",
    ):
        load_parts(Asked(model="owner/name", device="cpu"))
    monkeypatch.setattr(prepare, "load_pipeline", lambda *_, **__: pipe)
    assert load_parts(Asked(device="cpu"))[0] is pipe


class Failing:
    """A detector whose file is broken, as it turns out when it is first asked."""

    name, threshold = "failing", 0.5

    def fingerprint(self):
        return {"name": self.name}

    def score(self, images):
        raise RuntimeError("the weights are\ntruncated")


def test_a_detector_that_cannot_answer_is_refused_before_anything_is_drawn(monkeypatch, pipe):
    """Not after a night of drawing, all of whose images would be errors."""
    monkeypatch.setattr(prepare, "load_pipeline", lambda *_, **__: pipe)
    monkeypatch.setattr(
        prepare, "named_protocol", lambda *_: Protocol(name="test", detectors=(never(), Failing()))
    )
    with pytest.raises(
        UnsupportedError,
        match=r"failing fails on a plain picture \(RuntimeError: the weights are truncated\)",
    ):
        load_parts(Asked(device="cpu"))


def test_a_pipelines_tokenizer_is_copied_once(monkeypatch, pipe):
    """By what draws with it; to be looked at, whether it can be drawn with, it needs no copy."""
    copied: list[object] = []
    real = asking.copy.deepcopy
    monkeypatch.setattr(
        asking.copy, "deepcopy", lambda one, *rest: copied.append(one) or real(one, *rest)
    )
    monkeypatch.setattr(prepare, "load_pipeline", lambda *_, **__: pipe)
    load_parts(Asked(device="cpu"))
    assert pipe.tokenizer not in copied
    settings = settings_of(Asked(methods=("off",)), PROMPTS, pipe, PROTOCOL)
    Maker(pipe, PROTOCOL, settings)
    assert copied.count(pipe.tokenizer) == 1


def test_the_name_of_all_is_no_category_in_sets_or_statistics():
    assert OVERALL == OVERALL_OF_STATISTICS
