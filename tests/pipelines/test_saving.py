"""A guarded folder: its file, what is refused, and that no loader returns it unguarded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers import (
    AdaptiveProjectedGuidance,
    DiffusionPipeline,
    ModularPipeline,
    StableDiffusionXLModularPipeline,
)
from diffusers.utils import dynamic_modules_utils

from safelatent import (
    MAX,
    SLD,
    Adaptive,
    BadValueError,
    Category,
    Concept,
    ConceptEmbeds,
    NegativePrompt,
    NoiseLevel,
    Plan,
    UnsupportedError,
    guard,
    load,
)
from safelatent.guidance import PRESETS, PerImage
from safelatent.models.folder import GUARD_FILE
from safelatent.pipelines.loading import load_modular
from safelatent.pipelines.modular import GuardedBlocks, GuardedModular
from safelatent.pipelines.saving import (
    FORMAT,
    MODEL,
    as_values,
    from_values,
    read_guard,
    save_modular,
)
from tests import tiny
from tests.pipelines.modular import tiny_modular
from tests.pipelines.modular.by_hand import CONCEPT, PROMPT, call

CALL = {"prompt": PROMPT, "num_inference_steps": 4, "output_type": "pt"} | tiny_modular.SIZE
SETTINGS = SLD(warmup=NoiseLevel(0.95), scale=1000, threshold=0.01, momentum=0.3, decay=0.4)
SAFETIES = [
    *PRESETS.values(),
    SLD(warmup=NoiseLevel(0.8)),
    NegativePrompt(),
    PerImage([MAX, SLD()]),
    Adaptive(),
    Adaptive(
        categories=(Category(name="arms", concept=Concept.parse("weapons"), strength=MAX),),
        every=3,
        near=0.5,
        several=0.1,
    ),
]
LOADERS = [
    DiffusionPipeline,
    diffusers.StableDiffusionPipeline,
    diffusers.AutoPipelineForText2Image,
]


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory):
    return guard(pipe, "max", concept="weapons, blood").save_pretrained(
        tmp_path_factory.mktemp("saved") / "safe"
    )


@pytest.mark.parametrize("safety", SAFETIES, ids=str)
def test_every_safety_comes_back_from_json(safety):
    assert from_values(json.loads(json.dumps(as_values(safety)))) == safety


def test_the_file_says_its_format_the_safety_and_the_concept(folder):
    content = json.loads((folder / GUARD_FILE).read_text())
    assert content.keys() == {"format", "safety", "concept", "plan"}
    assert (content["format"], content["concept"]) == (FORMAT, "weapons, blood")
    assert content["safety"]["scale"] == MAX.scale


@pytest.mark.parametrize("loader", LOADERS)
def test_no_loader_of_diffusers_returns_it_unguarded(folder, loader):
    with pytest.raises(OSError, match=r"model_index\.json"):
        loader.from_pretrained(folder, local_files_only=True)


GOOD = {"format": FORMAT, "safety": "negative prompt", "concept": "blood"}
WRONG_SCALE = {"warmup": 5, "scale": 0.5, "threshold": 0, "momentum": 0, "decay": 0}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": FORMAT + 1}, rf"has format {FORMAT + 1}.* pip install --upgrade safelatent"),
        ({"format": "1"}, "format is '1', not 1"),
        ({"format": True}, "format is True, not 1"),
        ({"safety": "off"}, "the saved safety is 'off'"),
        ({"safety": {}}, "it must have the settings warmup"),
        ({"safety": WRONG_SCALE}, "scale is 0.5"),
        ({"safety": [WRONG_SCALE]}, "scale is 0.5"),
        ({"safety": []}, "does not say how"),
        ({"concept": ""}, "the concept is empty"),
        ({"concept": 5}, "the concept is 5"),
    ],
    ids=str,
)
def test_a_damaged_or_newer_guard_is_refused(tmp_path, changes, reason):
    (tmp_path / GUARD_FILE).write_text(json.dumps(GOOD | changes))
    with pytest.raises(UnsupportedError, match=reason) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", GOOD)
def test_every_entry_is_needed(tmp_path, missing):
    (tmp_path / GUARD_FILE).write_text(
        json.dumps({name: value for name, value in GOOD.items() if name != missing})
    )
    with pytest.raises(UnsupportedError, match=f"does not say how .*no '{missing}'"):
        read_guard(tmp_path)


def test_a_guidance_of_ones_own_cannot_be_saved(pipe, tmp_path):
    class Mine(SLD):
        pass

    with pytest.raises(BadValueError, match="cannot save the guidance"):
        guard(pipe, Mine()).save_pretrained(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_plain_folder_is_not_made_a_guarded_one(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadValueError, match=r"holds an unguarded pipeline \(model_index\.json\)"):
        guard(pipe, "max").save_pretrained(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_is_no_folder(pipe, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadValueError, match="is a file; give a folder"):
        guard(pipe, "max").save_pretrained(tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"safe_serialization": False}, "safetensors only"),
        ({"push_to_hub": True}, r"call safe\.push_to_hub"),
    ],
    ids=str,
)
def test_options_that_would_undo_the_guard_are_refused(pipe, tmp_path, options, reason):
    with pytest.raises(BadValueError, match=reason):
        guard(pipe, "max").save_pretrained(tmp_path / "safe", **options)
    assert not (tmp_path / "safe").exists()


def test_a_variant_is_saved_and_loaded(pipe, tmp_path):
    guard(pipe, "max").save_pretrained(tmp_path, variant="fp16", safe_serialization=True)
    assert list((tmp_path / MODEL / "unet").glob("*.fp16.safetensors"))
    with pytest.raises(UnsupportedError, match='give variant="fp16"'):
        load(tmp_path)
    assert load(tmp_path, variant="fp16").guidance == MAX


def test_a_concept_as_embeddings_is_saved_with_the_guard(pipe, tmp_path):
    embeds, _ = pipe.encode_prompt("weapons", "cpu", 1, False)
    concept = ConceptEmbeds(text="weapons", prompt_embeds=embeds)
    guard(pipe, "max", concept=concept).save_pretrained(tmp_path)
    again = load(tmp_path).concept
    assert (again.text, torch.equal(again.prompt_embeds, embeds)) == ("weapons", True)
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(UnsupportedError, match="does not say how the pipeline is guarded"):
        load(tmp_path)


def test_the_plan_comes_back(pipe, tmp_path):
    plan = Plan(concept=5, until=NoiseLevel(0.5))
    guard(pipe, "max", plan=plan).save_pretrained(tmp_path)
    assert load(tmp_path).plan == plan
    content = json.loads((tmp_path / GUARD_FILE).read_text())
    assert content["plan"] == "concept=5,until=0.5"
    (tmp_path / GUARD_FILE).write_text(json.dumps(content | {"plan": "quick"}))
    with pytest.raises(UnsupportedError, match="the plan is 'quick'"):
        load(tmp_path)


def test_adaptive_guidance_comes_back(pipe, tmp_path):
    guard(pipe, "adaptive").save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert loaded.guidance == Adaptive()
    assert loaded.concept_text.startswith("hate: hate, cruelty")


def test_a_save_may_be_repeated(pipe, tmp_path):
    guard(pipe, "max").save_pretrained(tmp_path)
    guard(pipe, "weak").save_pretrained(tmp_path)
    assert read_guard(tmp_path)[0] == PRESETS["weak"]


def test_the_hub_gets_a_whole_guarded_folder(pipe, monkeypatch):
    import huggingface_hub

    made, sent = [], {}

    def upload_folder(*, repo_id, folder_path, commit_message, **options):
        sent[repo_id] = read_guard(Path(folder_path)), commit_message, options
        return "https://hub/commit/1"

    monkeypatch.setattr(
        huggingface_hub, "create_repo", lambda repo_id, **options: made.append((repo_id, options))
    )
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload_folder)
    safe = guard(pipe, "max")
    assert safe.push_to_hub("me/safe", private=True) == "https://hub/commit/1"
    assert made == [("me/safe", {"private": True, "exist_ok": True})]
    (guidance, *_), message, options = sent["me/safe"]
    assert (guidance, message, options) == (MAX, "Upload a guarded pipeline", {})
    safe.push_to_hub("me/other", token="t", commit_message="new")
    assert made[1] == ("me/other", {"token": "t", "exist_ok": True})
    assert sent["me/other"][1:] == ("new", {"token": "t"})


# Modular pipelines: their guiders and blocks are saved too.


@pytest.fixture(autouse=True)
def _own_module_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.fixture
def safe() -> GuardedModular:
    pipe = tiny_modular.pipeline("sdxl", guider=AdaptiveProjectedGuidance(guidance_scale=4.0))
    pipe.guider.guidance_scale = 6.0  # set after it was made
    return guard(pipe, SETTINGS, concept=CONCEPT)


def save(safe: GuardedModular, folder) -> None:
    save_modular(safe.pipe, safe.guidance, safe.concept, safe.plan, folder)


def test_a_modular_pipeline_is_loaded_guarded_as_it_was_saved(safe, tmp_path):
    before = dict(safe.pipe.config)
    assert safe.save_pretrained(tmp_path / "safe") == tmp_path / "safe"
    assert dict(safe.pipe.config) == before
    shutil.move(tmp_path / "safe", tmp_path / "elsewhere")
    loaded = load(tmp_path / "elsewhere")
    assert isinstance(loaded, GuardedModular)
    assert isinstance(loaded.guider, AdaptiveProjectedGuidance)
    assert loaded.guider.guidance_scale == 6.0
    expected, out = call(safe, CALL), call(loaded, CALL)
    torch.testing.assert_close(out.images, expected.images, atol=1e-4, rtol=1e-4)
    assert out.receipts[0].settings == expected.receipts[0].settings
    with pytest.raises((OSError, ValueError)):  # the folder itself is no pipeline of diffusers'
        ModularPipeline.from_pretrained(str(tmp_path / "elsewhere"))


def test_an_enabled_guider_of_z_image_stays_enabled(tmp_path):
    pipe = tiny_modular.z_image_as_shipped()
    pipe.guider.enable()
    save(guard(pipe, SETTINGS), tmp_path)
    assert load_modular(tmp_path, SETTINGS, CONCEPT).guider._enabled


@pytest.mark.parametrize(
    "kind", [ModularPipeline, StableDiffusionXLModularPipeline], ids=lambda kind: kind.__name__
)
def test_diffusers_alone_loads_a_modular_one_guarded_or_not_at_all(safe, tmp_path, kind):
    save(safe, tmp_path)
    with pytest.raises(ValueError, match="trust_remote_code"):
        kind.from_pretrained(str(tmp_path))
    pipe = kind.from_pretrained(str(tmp_path), trust_remote_code=True)
    pipe.load_components()
    assert isinstance(pipe._blocks, GuardedBlocks)
    expected, out = call(safe, CALL), call(pipe, CALL)
    torch.testing.assert_close(out.images, expected.images, atol=1e-4, rtol=1e-4)
    assert out.receipts[0].settings == expected.receipts[0].settings
    workflow = kind.from_pretrained(str(tmp_path), trust_remote_code=True, workflow="text2image")
    assert isinstance(workflow._blocks, GuardedBlocks)


@pytest.mark.parametrize(
    "safety", [NegativePrompt(), [SLD(warmup=1), SLD(warmup=2)], "max"], ids=str
)
def test_every_safety_is_kept_for_diffusers_alone(safe, tmp_path, safety):
    safe = guard(safe.pipe, safety, concept='it\'s "so", {so}')
    save(safe, tmp_path)
    pipe = ModularPipeline.from_pretrained(str(tmp_path), trust_remote_code=True)
    assert (pipe._blocks.safety, pipe._blocks.concept) == (safe.guidance, safe.concept)


def test_what_could_not_be_loaded_again_is_not_saved(safe, tmp_path):
    safe.pipe._blocks.sub_blocks.pop("ip_adapter")
    with pytest.raises(UnsupportedError, match="not those of StableDiffusionXLAutoBlocks"):
        save(safe, tmp_path)
    assert not list(tmp_path.iterdir())


def test_blocks_of_ones_own_are_not_saved(safe, tmp_path):
    class Mine(type(safe.pipe._blocks)):
        pass

    safe.pipe._blocks = Mine()
    with pytest.raises(UnsupportedError, match="not those of Mine in diffusers"):
        save(safe, tmp_path)


def test_a_component_that_diffusers_leaves_out_is_an_error(safe, tmp_path, monkeypatch):
    monkeypatch.setattr(ModularPipeline, "save_pretrained", lambda *_, **__: None)
    with pytest.raises(UnsupportedError, match="cannot be saved by diffusers; the folder is not"):
        save(safe, tmp_path)


def test_modular_folders_that_are_not_guarded_ones_are_refused(safe, tmp_path):
    with pytest.raises(UnsupportedError, match="cannot read"):
        load_modular(tmp_path, SETTINGS, CONCEPT)
    save(safe, tmp_path)
    file = tmp_path / "modular_config.json"
    own = json.loads(file.read_text())
    file.write_text(json.dumps(own | {"guiders": {"guider": {"_class_name": "SkipLayerGuidance"}}}))
    with pytest.raises(UnsupportedError, match="the guider is 'SkipLayerGuidance'"):
        load_modular(tmp_path, SETTINGS, CONCEPT)
    for content in ({}, own | {"guiders": []}, own | {"guiders": None}):
        file.write_text(json.dumps(content))
        with pytest.raises(UnsupportedError, match="is not a guarded modular pipeline"):
            load_modular(tmp_path, SETTINGS, CONCEPT)


def test_a_missing_component_is_an_error(safe, tmp_path):
    save(safe, tmp_path)
    weights = next((tmp_path / "unet").glob("*.safetensors"))
    torch.save(safe.unet.state_dict(), weights.with_suffix(".bin"))  # a pickle, which is not read
    weights.unlink()
    with pytest.raises(UnsupportedError, match="cannot load unet"):
        load_modular(tmp_path, SETTINGS, CONCEPT)
