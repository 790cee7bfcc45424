from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline, ModularPipelineBlocks
from diffusers.utils import dynamic_modules_utils

from safelatent import SLD, BadValueError, NotGuardedError, guard
from safelatent.pipelines.modular import GuardedBlocks, guard_modular
from tests import tiny
from tests.pipelines.modular import tiny_modular

HUB = Path(__file__).parents[2] / "hub"
CALL = {"prompt": "a cat with a pistol", "num_inference_steps": 3}


@pytest.fixture(autouse=True)
def _own_module_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))


def test_the_modular_block_guards_any_family():
    blocks = ModularPipelineBlocks.from_pretrained(
        str(HUB / "modular"),
        trust_remote_code=True,
        blocks="StableDiffusionXLAutoBlocks",
        safety=SLD(warmup=1),
        concept="weapons",
    )
    assert isinstance(blocks, GuardedBlocks)
    plain = tiny_modular.pipeline("sdxl")
    pipe = blocks.init_pipeline()
    pipe.update_components(
        **{name: getattr(plain, name) for name in plain.pretrained_component_names}
    )
    call = CALL | tiny_modular.SIZE | {"output_type": "pt"}
    out = pipe(**call, generator=torch.Generator().manual_seed(0))
    expected = guard_modular(plain, SLD(warmup=1), concept="weapons")(
        **call, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(out.images, expected.images)
    assert out.receipts == expected.receipts


def test_the_modular_block_asks_for_trust_and_for_blocks():
    with pytest.raises(ValueError, match="trust_remote_code"):
        ModularPipelineBlocks.from_pretrained(str(HUB / "modular"), blocks="WanBlocks")
    with pytest.raises(TypeError, match="blocks"):
        ModularPipelineBlocks.from_pretrained(str(HUB / "modular"), trust_remote_code=True)
    with pytest.raises(BadValueError, match="did you mean"):
        ModularPipelineBlocks.from_pretrained(
            str(HUB / "modular"), trust_remote_code=True, blocks="StableDiffusionXLAutoBlock"
        )


def test_the_custom_pipeline_is_guard(tmp_path):
    plain = tiny.pipeline()
    plain.save_pretrained(tmp_path / "model")
    pipe = tiny.quiet(
        DiffusionPipeline.from_pretrained(
            tmp_path / "model", custom_pipeline=str(HUB / "classic"), trust_remote_code=True
        )
    )
    out = pipe(
        **CALL,
        safety="max",
        concept="weapons",
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
    )
    expected = guard(plain, "max", concept="weapons")(
        **CALL, output_type="latent", generator=torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(out.images, expected.images, atol=1e-5, rtol=1e-5)
    assert out.receipts == expected.receipts
    with pytest.raises(NotGuardedError, match="warm-up"):
        pipe(**CALL)
