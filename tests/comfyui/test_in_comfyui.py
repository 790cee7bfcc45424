"""The guider in ComfyUI itself, where that can be imported: its sampling, its samplers, its model
classes, around tiny diffusers weights.

ComfyUI is no dependency. To run this, put a copy of it on the path: ``PYTHONPATH=/where/ComfyUI/is
python -m pytest tests/comfyui``.
"""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from safelatent import DEFAULT_CONCEPT, guard
from safelatent.errors import NotGuardedError
from safelatent.guidance import PRESETS, SLD
from tests import tiny
from tests.comfyui import comfy_paper as paper
from tests.comfyui.comfy_loading import loaded

pytestmark = pytest.mark.filterwarnings("ignore")  # ComfyUI's own
CFG = 7.5
PROMPT = "a cat with a pistol"


@pytest.fixture(scope="module")
def comfy():
    options = pytest.importorskip(
        "comfy.cli_args", reason="ComfyUI is not on the path", exc_type=ImportError
    )
    options.args.cpu = not torch.cuda.is_available()
    pytest.importorskip(
        "comfy.samplers", reason="a package that ComfyUI needs is missing", exc_type=ImportError
    )
    names = ("samplers", "model_base", "model_patcher", "supported_models_base")
    return SimpleNamespace(**{name: import_module(f"comfy.{name}") for name in names})


@pytest.fixture(scope="module")
def real(comfy):
    yield from loaded("comfyui_over_the_real_one")


class Wrapped(torch.nn.Module):
    """diffusers' UNet as ComfyUI calls its own."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet, self.dtype = unet, torch.float32

    def forward(self, x, timesteps, context=None, **_):
        return self.unet(x, timesteps, encoder_hidden_states=context).sample


@pytest.fixture(scope="module")
def pipes():
    return {
        kind: tiny.pipeline(scheduler=tiny.scheduler(prediction_type=kind))
        for kind in ("epsilon", "v_prediction")
    }


def patcher(comfy: Any, pipe: Any, kind: str) -> Any:
    config = comfy.supported_models_base.BASE({"disable_unet_model_creation": True})
    kinds = comfy.model_base.ModelType
    kind = {"epsilon": kinds.EPS, "v_prediction": kinds.V_PREDICTION, "flow": kinds.FLOW}[kind]
    model = comfy.model_base.BaseModel(config, model_type=kind)
    model.diffusion_model = Wrapped(pipe.unet)
    return comfy.model_patcher.ModelPatcher(
        model, load_device=torch.device("cpu"), offload_device=torch.device("cpu")
    )


def conds(pipe: Any) -> list[Any]:
    with torch.no_grad():
        return [
            [[pipe.encode_prompt(text, "cpu", 1, False)[0], {}]]
            for text in (PROMPT, "", str(DEFAULT_CONCEPT))
        ]


def guider(
    real: Any, comfy: Any, pipe: Any, kind: str = "epsilon", preset: str = "max", **settings: Any
) -> Any:
    return real.SafeGuidance().guider(
        patcher(comfy, pipe, kind), *conds(pipe), CFG, preset, "steps", **settings
    )[0]


def noise(rows: int = 1) -> torch.Tensor:
    return torch.randn((rows, 4, 8, 8), generator=torch.Generator().manual_seed(0))


def ladder(made: Any) -> torch.Tensor:
    """Sigmas of a run of 8 steps."""
    every = made.model_patcher.get_model_object("model_sampling").sigmas
    return torch.cat([every[torch.arange(999, 0, -140)], torch.zeros(1)])


@torch.no_grad()
def sample(
    made: Any, comfy: Any, sampler: str, sigmas: torch.Tensor, start: torch.Tensor
) -> torch.Tensor:
    """The latents of a run; ComfyUI multiplies ``start`` with the first sigma."""
    torch.manual_seed(0)  # some samplers draw from it
    return made.sample(
        start,
        torch.zeros_like(start),
        comfy.samplers.sampler_object(sampler),
        sigmas,
        seed=1,
        disable_pbar=True,
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_same_latents_as_the_guard(real, comfy, pipes, kind, preset):
    pipe = pipes[kind]
    call = {
        "num_inference_steps": 50,
        "guidance_scale": CFG,
        "latents": noise(),
        "output_type": "latent",
    }
    expected = guard(pipe, preset)(PROMPT, **call).images
    alphas, made = pipe.scheduler.alphas_cumprod, guider(real, comfy, pipe, kind, preset)
    every = made.model_patcher.get_model_object("model_sampling").sigmas
    sigmas = torch.cat([every[pipe.scheduler.timesteps], every[:1]])
    start = noise() / (alphas[pipe.scheduler.timesteps[0]].sqrt() * sigmas[0])
    found = sample(made, comfy, "euler", sigmas, start) * alphas[0].sqrt()
    difference = (found - expected).abs().max().item()
    assert difference <= 1e-3, f"{kind}, {preset}: {difference}"


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_the_papers_equations_on_a_flow(real, comfy, pipes, sampler):
    pipe, short = (
        pipes["epsilon"],
        SLD(warmup=2, scale=1000, threshold=0.01, momentum=0.3, decay=0.4),
    )
    sigmas = torch.tensor([1.0, 0.9, 0.75, 0.5, 0.3, 0.1, 0.0])
    made = guider(real, comfy, pipe, "flow", "custom", settings=short)
    texts = {
        name: cond[0][0]
        for name, cond in zip(("positive", "negative", "concept"), conds(pipe), strict=True)
    }

    def predict(x: torch.Tensor, sigma: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return pipe.unet(x, sigma * 1000, encoder_hidden_states=text).sample

    with torch.no_grad():
        expected = getattr(paper, sampler)(
            paper.Reference(predict, "flow", texts, short, CFG), noise(), sigmas
        )
    assert (sample(made, comfy, sampler, sigmas, noise()) - expected).abs().max() <= 1e-3


def test_a_prompt_for_the_whole_area_and_all_times_is_one_without(real, comfy, pipes):
    """What ComfyUI makes of areas and times, it makes of the concept's as of the prompt's."""
    pipe = pipes["epsilon"]
    positive, negative, concept = conds(pipe)
    whole = {"area": (8, 8, 0, 0), "strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    made, plain = guider(real, comfy, pipe), guider(real, comfy, pipe)
    made.set_conds([[positive[0][0], whole]], negative, concept)
    sigmas = ladder(made)
    assert torch.allclose(
        sample(made, comfy, "euler", sigmas, noise()),
        sample(plain, comfy, "euler", sigmas, noise()),
        atol=1e-3,
    )


@pytest.mark.slow
def test_every_sampler_of_comfyui_is_guarded(real, comfy, pipes):
    """Each gives finite latents, others than without the guard, and the same ones when it runs
    again.
    """
    made = guider(
        real,
        comfy,
        pipes["epsilon"],
        preset="custom",
        settings=SLD(warmup=2, scale=2000, threshold=0.025),
    )
    plain = comfy.samplers.CFGGuider(made.model_patcher)
    plain.set_conds(*conds(pipes["epsilon"])[:2])
    plain.set_cfg(CFG)
    for name in comfy.samplers.KSampler.SAMPLERS:
        expected, found, again = (
            sample(one, comfy, name, ladder(made), noise(2)) for one in (plain, made, made)
        )
        assert torch.isfinite(found).all(), name
        assert (found - expected).abs().max() > 1e-2, f"{name} was not guarded"
        assert torch.equal(found, again), name


def test_refusals_reach_whoever_calls(real, comfy, pipes):
    made = guider(real, comfy, pipes["epsilon"], preset="weak")
    with pytest.raises(NotGuardedError, match="the warm-up is 15 steps and the run has 8"):
        sample(made, comfy, "euler", ladder(made), noise())
    made.set_cfg(2.0)
    with pytest.raises(NotGuardedError, match="the run has 0"):
        sample(made, comfy, "euler", torch.tensor([]), noise())
