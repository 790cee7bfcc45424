from __future__ import annotations

import json
import shutil

import pytest
import torch
from diffusers import AdaptiveProjectedGuidance, ModularPipeline, StableDiffusionXLModularPipeline
from diffusers.utils import dynamic_modules_utils

from safelatent import SLD, NegativePrompt, NoiseLevel, UnsupportedError
from safelatent.pipelines.guard_file import read_guard
from safelatent.pipelines.modular import (
    GuardedBlocks,
    GuardedModular,
    guard_modular,
    is_modular_folder,
    load_modular,
    save_modular,
)
from safelatent.pipelines.saved import MODEL
from tests.pipelines.modular import tiny_modular
from tests.pipelines.modular.by_hand import CONCEPT, PROMPT, call

CALL = {"prompt": PROMPT, "num_inference_steps": 4, "output_type": "pt"} | tiny_modular.SIZE
SETTINGS = SLD(warmup=NoiseLevel(0.95), scale=1000, threshold=0.01, momentum=0.3, decay=0.4)


@pytest.fixture(autouse=True)
def _own_module_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.fixture
def safe() -> GuardedModular:
    pipe = tiny_modular.pipeline("sdxl", guider=AdaptiveProjectedGuidance(guidance_scale=4.0))
    pipe.guider.guidance_scale = 6.0  # set after it was made
    return guard_modular(pipe, SETTINGS, concept=CONCEPT)


def save(safe: GuardedModular, folder) -> None:
    save_modular(safe.pipe, safe.guidance, safe.concept, folder)


def test_what_is_loaded_is_guarded_as_what_was_saved(safe, tmp_path):
    before = dict(safe.pipe.config)
    assert safe.save_pretrained(tmp_path / "safe") == tmp_path / "safe"
    assert dict(safe.pipe.config) == before
    shutil.move(tmp_path / "safe", tmp_path / "elsewhere")
    guidance, concept = read_guard(tmp_path / "elsewhere")
    assert is_modular_folder(tmp_path / "elsewhere" / MODEL)
    loaded = load_modular(tmp_path / "elsewhere" / MODEL, guidance, concept)
    assert isinstance(loaded.pipe.guider, AdaptiveProjectedGuidance)
    assert loaded.pipe.guider.guidance_scale == 6.0
    expected, out = call(safe, CALL), call(loaded, CALL)
    torch.testing.assert_close(out.images, expected.images, atol=1e-4, rtol=1e-4)
    assert out.receipts[0].settings == expected.receipts[0].settings
    assert not is_modular_folder(tmp_path)
    with pytest.raises((OSError, ValueError)):  # the folder itself is no pipeline of diffusers'
        ModularPipeline.from_pretrained(str(tmp_path / "elsewhere"))


def test_an_enabled_guider_of_z_image_stays_enabled(tmp_path):
    pipe = tiny_modular.z_image_as_shipped()
    pipe.guider.enable()
    save(guard_modular(pipe, SETTINGS), tmp_path)
    assert load_modular(tmp_path, SETTINGS, CONCEPT).pipe.guider._enabled


@pytest.mark.parametrize(
    "kind", [ModularPipeline, StableDiffusionXLModularPipeline], ids=lambda kind: kind.__name__
)
def test_diffusers_alone_loads_it_guarded_or_not_at_all(safe, tmp_path, kind):
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
    safe = guard_modular(safe.pipe, safety, concept='it\'s "so", {so}')
    save(safe, tmp_path)
    pipe = ModularPipeline.from_pretrained(str(tmp_path), trust_remote_code=True)
    assert (pipe._blocks.safety, pipe._blocks.concept) == (safe.guidance, safe.concept)


def test_what_could_not_be_loaded_again_is_not_saved(safe, tmp_path):
    safe.pipe._blocks.sub_blocks.pop("ip_adapter")
    with pytest.raises(UnsupportedError, match="not those of StableDiffusionXLAutoBlocks"):
        save(safe, tmp_path)
    assert not list(tmp_path.iterdir())


def test_folders_that_are_not_guarded_ones_are_refused(safe, tmp_path):
    with pytest.raises(UnsupportedError, match="cannot read"):
        load_modular(tmp_path, SETTINGS, CONCEPT)
    save(safe, tmp_path)
    own = json.loads((tmp_path / "modular_config.json").read_text())
    (tmp_path / "modular_config.json").write_text(
        json.dumps(own | {"guiders": {"guider": {"_class_name": "SkipLayerGuidance"}}})
    )
    with pytest.raises(UnsupportedError, match="the guider is 'SkipLayerGuidance'"):
        load_modular(tmp_path, SETTINGS, CONCEPT)
    (tmp_path / "modular_config.json").write_text("{}")
    with pytest.raises(UnsupportedError, match="is not a guarded modular pipeline"):
        load_modular(tmp_path, SETTINGS, CONCEPT)


def test_a_missing_component_is_an_error(safe, tmp_path):
    save(safe, tmp_path)
    weights = next((tmp_path / "unet").glob("*.safetensors"))
    torch.save(
        safe.pipe.unet.state_dict(), weights.with_suffix(".bin")
    )  # a pickle, which is not read
    weights.unlink()
    with pytest.raises(UnsupportedError, match="cannot load unet"):
        load_modular(tmp_path, SETTINGS, CONCEPT)
