from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
)

from safelatent.detectors import Protocol, never
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.generation.methods import METHODS
from safelatent.metrics.by_category import OVERALL as OVERALL_OF_STATISTICS
from safelatent.prompts import embedded_i2p
from safelatent.prompts.prompt import OVERALL
from safelatent.runs import calls, prepare
from safelatent.runs.prepare import (
    check_warmups,
    device_of,
    dtype_of,
    load_parts,
    load_prompts,
    load_protocol,
    noise_levels,
    settings_of,
)
from safelatent.runs.settings import RunRequest, RunSettings
from safelatent.runs.worker import Worker
from tests import tiny
from tests.pipelines.classic import tiny_families

PROMPTS = embedded_i2p().limit(2)
PROTOCOL = Protocol(name="test", detectors=(never(),))
COMMIT = "39593d5650112b4cc580433f6b0435385882d819"


def asked(**settings) -> RunRequest:
    return RunRequest(prompts=PROMPTS, **settings)


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


def test_a_device_that_is_not_there_is_one_short_line(monkeypatch):
    """Of some devices, torch says all that it has instead."""

    def absent(*_, **__):
        raise NotImplementedError("no kernel of 'xyz'. This could be because: " + "x, " * 999)

    monkeypatch.setattr(torch, "zeros", absent)
    with pytest.raises(BadValueError, match=r"no device 'xyz' \(no kernel of 'xyz'\); name cpu"):
        device_of("xyz")


def test_the_revision_of_a_hub_id_is_the_commit_that_was_loaded(pipe, model):
    """Also where none was named: what is there today may be another tomorrow."""
    for revision in (None, "main", COMMIT):
        settings = settings_of(
            asked(model="owner/name", revision=revision), PROMPTS, pipe, PROTOCOL
        )
        assert settings.revision == COMMIT
    other = replace(settings, revision="0" * 40)
    assert settings.differences(other) == {"revision": f'revision is "{COMMIT}", was "{"0" * 40}"'}


def test_the_embedded_model_has_no_revision(pipe):
    assert settings_of(asked(), PROMPTS, pipe, PROTOCOL).revision is None


def test_the_models_digest_tells_every_file_that_determines_images(pipe, model):
    def digest() -> str:
        return settings_of(asked(model="owner/name"), PROMPTS, pipe, PROTOCOL).model_digest

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
    assert settings_of(asked(), PROMPTS, pipe, PROTOCOL).size == "model"
    assert settings_of(asked(size="prompt"), PROMPTS, pipe, PROTOCOL).size == "prompt"


def test_a_pipeline_that_no_run_can_draw_with_is_refused(monkeypatch, pipe):
    from_an_image = StableDiffusionImg2ImgPipeline.__new__(StableDiffusionImg2ImgPipeline)
    monkeypatch.setattr(prepare, "load_pipeline", lambda *_, **__: from_an_image)
    with pytest.raises(
        UnsupportedError,
        match="runs draw from text alone, and StableDiffusionImg2ImgPipeline needs an image",
    ):
        load_parts(asked(model="owner/name", protocol="embedded", device="cpu"))
    monkeypatch.setattr(prepare, "load_pipeline", lambda *_, **__: pipe)
    assert load_parts(asked(device="cpu"))[0] is pipe


@pytest.mark.parametrize("name", ["cudda", "foo"])
def test_a_device_of_no_kind_is_refused_without_the_kinds_that_there_are(name):
    with pytest.raises(BadValueError, match=f"^there is no device '{name}'; name cpu or a GPU"):
        device_of(name)


def test_a_device_that_is_not_here_is_refused_with_the_reason():
    with pytest.raises(BadValueError, match=r"^there is no device 'cuda:99' \(.+\); name cpu"):
        device_of("cuda:99")


@pytest.mark.parametrize(
    ("name", "device", "dtype"),
    [
        (None, "cpu", torch.float32),
        (None, "cuda:1", torch.float16),
        ("bfloat16", "cpu", torch.bfloat16),
    ],
)
def test_the_dtype_follows_the_device_unless_it_is_named(name, device, dtype):
    assert dtype_of(name, device) is dtype


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
        load_parts(asked(device="cpu"))


def test_a_pipelines_tokenizer_is_copied_once(monkeypatch, pipe):
    """By what draws with it; to be looked at, whether it can be drawn with, it needs no copy."""
    copied: list[object] = []
    real = calls.copy.deepcopy
    monkeypatch.setattr(
        calls.copy, "deepcopy", lambda one, *rest: copied.append(one) or real(one, *rest)
    )
    monkeypatch.setattr(prepare, "load_pipeline", lambda *_, **__: pipe)
    load_parts(asked(device="cpu"))
    assert pipe.tokenizer not in copied
    settings = settings_of(asked(methods=("off",)), PROMPTS, pipe, PROTOCOL)
    Worker(pipe, PROTOCOL, settings)
    assert copied.count(pipe.tokenizer) == 1


def test_the_name_of_all_is_no_category_in_sets_or_statistics():
    assert OVERALL == OVERALL_OF_STATISTICS


def test_a_request_for_prompts_names_columns_and_limit(monkeypatch):
    seen = {}

    def known(name, source, **columns):
        seen.update(name=name, source=source, **columns)
        return embedded_i2p()

    monkeypatch.setattr(prepare, "prompt_set", known)
    request = RunRequest(
        prompts="mine.csv", text_column="sensitive prompt", seed_column="sd_seed", limit=2
    )
    assert len(load_prompts(request)) == 2
    assert seen == {
        "name": "mine.csv",
        "source": None,
        "text_column": "sensitive prompt",
        "seed_column": "sd_seed",
    }
    assert load_prompts(asked()) is PROMPTS
    assert len(load_prompts(asked(limit=1))) == 1


def test_the_protocol_fits_the_model_and_missing_vectors_are_said_before_anything_is_loaded(
    monkeypatch,
):
    monkeypatch.setattr(prepare, "load_pipeline", lambda *_, **__: 1 / 0)
    assert load_protocol(asked(), "cpu").name == "embedded"
    message = (
        r"protocol 'i2p-paper' \(the default for 'owner/name'\) needs Q16's published vectors;"
        r" .*docs/detectors.md.*convert-q16.*--vectors q16.safetensors, or name another"
    )
    with pytest.raises(BadValueError, match=message):
        load_parts(asked(model="owner/name", device="cpu"))
    with pytest.raises(BadValueError, match="did you mean 'i2p-paper'"):
        load_parts(asked(protocol="i2p-papr", device="cpu"))
    with pytest.raises(BadValueError, match="has its own vectors"):
        load_parts(asked(vectors="q16.npy", device="cpu"))


def test_a_detector_s_missing_package_is_said_before_the_model_is_loaded(monkeypatch):
    monkeypatch.setattr(prepare, "load_pipeline", lambda *_, **__: 1 / 0)

    def missing(*_):
        raise UnsupportedError('detector nudenet needs nudenet; run pip install "safelatent"')

    monkeypatch.setattr(prepare, "named_protocol", missing)
    with pytest.raises(UnsupportedError, match="pip install"):
        load_parts(asked(device="cpu"))


@pytest.mark.parametrize(
    ("steps", "methods", "refused"),
    [
        (30, METHODS, ""),
        (29, METHODS, "weak has a warm-up of 15"),
        (20, ("off", "negative prompt", "medium", "max"), ""),
        (19, ("medium",), "medium has a warm-up of 10"),
        (8, METHODS, "weak has a warm-up of 15, medium has a warm-up of 10, strong has"),
        (1, ("off", "negative prompt", "max"), ""),
    ],
)
def test_a_warm_up_of_more_than_half_of_the_steps_is_refused(pipe, steps, methods, refused):
    if not refused:
        check_warmups(pipe, methods, steps)
        return
    with pytest.raises(BadValueError, match=f"steps is {steps} and {refused}"):
        check_warmups(pipe, methods, steps)


def test_on_rectified_flow_the_noise_counts_and_not_the_steps():
    """A shifted schedule spends more than half of its steps above weak's noise level, and has
    still enough to act on.
    """
    flow = tiny_families.pipeline("sd3")
    flow.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    check_warmups(flow, METHODS, 12)
    with pytest.raises(BadValueError, match="weak has a warm-up of 1"):
        check_warmups(flow, ("weak",), 1)
    flow.scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    check_warmups(flow, METHODS, 1)


def test_a_plan_that_ends_guidance_with_the_warm_up_is_refused_before_anything_is_drawn(pipe):
    check_warmups(pipe, METHODS, 50, "concept=5,until=0.6")
    check_warmups(pipe, ("off", "negative prompt"), 30, "until=0.6")
    with pytest.raises(BadValueError, match=r"weak: the plan 'until=0\.6' ends all guidance"):
        check_warmups(pipe, ("off", "weak"), 30, "until=0.6")
    with pytest.raises(BadValueError, match="the plan is 'quick'"):
        check_warmups(pipe, ("off",), 30, "quick")


def test_steps_are_counted_as_the_guard_counts_them(pipe):
    """Heun evaluates twice in a step; PNDM's doubled step counts as two."""
    counts = {DDIMScheduler: 10, HeunDiscreteScheduler: 10, PNDMScheduler: 11}
    for kind, count in counts.items():
        config = dict(pipe.scheduler.config) | {"skip_prk_steps": True}
        levels = noise_levels(kind.from_config(config), 10)
        assert len(levels) == count
        assert levels == sorted(levels, reverse=True)


def test_the_variant_of_the_weights_is_loaded_and_is_one_of_the_settings(tmp_path):
    tiny.pipeline().save_pretrained(tmp_path, variant="fp16")
    request = asked(model=str(tmp_path), variant="fp16", protocol="embedded")
    pipe, protocol = load_parts(request)
    found = settings_of(request, PROMPTS, pipe, protocol)
    assert found.variant == "fp16"
    assert RunSettings.from_dict(found.as_dict()) == found
    with pytest.raises(UnsupportedError, match=r"only weights of variant 'fp16'.*give variant"):
        load_parts(asked(model=str(tmp_path), protocol="embedded"))
    with pytest.raises(BadValueError, match="the variant is empty; name one"):
        asked(variant=" ")
