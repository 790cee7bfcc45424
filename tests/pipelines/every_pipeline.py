"""One tiny pipeline and one call for every classic pipeline that can be guarded, and every refusal:
what the page on pipelines is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import ControlNetModel
from diffusers.callbacks import SDXLCFGCutoffCallback
from PIL import Image

from safelatent import DEFAULT_CONCEPT, SLD, guard
from tests import tiny
from tests.pipelines.classic import tiny_families as families

STEPS = 6
SMALL = {"height": 8, "width": 8}


def picture(side: int = 8) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """``name`` is diffusers' class; ``parts`` makes the components, ``extra`` goes beside prompt,
    steps and generator.
    """

    name: str
    parts: Callable[[], dict[str, Any]]
    extra: dict[str, Any] = field(default_factory=dict)

    def pipeline(self) -> Any:
        return families.build(getattr(diffusers, self.name), self.parts)

    def arguments(self) -> dict[str, Any]:
        call = {
            "prompt": "a cat with a pistol",
            "num_inference_steps": STEPS,
            "output_type": "latent",
        }
        return call | {"generator": torch.Generator().manual_seed(0)} | self.extra


def _sd_parts() -> dict[str, Any]:
    return tiny.parts() | {"requires_safety_checker": False}


def _controlled(parts: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    def made() -> dict[str, Any]:
        found = parts()
        control = ControlNetModel.from_unet(
            found["unet"], conditioning_embedding_out_channels=(16,)
        ).eval()
        for block in (
            control.controlnet_down_blocks
        ):  # zero at first, which would hide a residual that met the wrong half
            torch.nn.init.normal_(block.weight, std=0.5)
        return found | {"controlnet": control}

    return made


_IMAGE = {"image": picture(), "strength": 1.0}
_MASKED = _IMAGE | {"mask_image": Image.new("L", (8, 8), 255)} | SMALL
_CONTROL = {"image": picture()} | SMALL
_CONTROL_IMAGE = _IMAGE | {"control_image": picture()} | SMALL
_CONTROL_MASKED = _MASKED | {"control_image": picture()}


def _unet_kinds(prefix: str, parts: Callable[[], dict[str, Any]]) -> list[Case]:
    return [
        Case(name=f"{prefix}Pipeline", parts=parts, extra=SMALL),
        Case(name=f"{prefix}Img2ImgPipeline", parts=parts, extra=_IMAGE),
        Case(name=f"{prefix}InpaintPipeline", parts=parts, extra=_MASKED),
        Case(name=f"{prefix}ControlNetPipeline", parts=_controlled(parts), extra=_CONTROL),
        Case(
            name=f"{prefix}ControlNetImg2ImgPipeline",
            parts=_controlled(parts),
            extra=_CONTROL_IMAGE,
        ),
        Case(
            name=f"{prefix}ControlNetInpaintPipeline",
            parts=_controlled(parts),
            extra=_CONTROL_MASKED,
        ),
    ]


CASES = [
    *_unet_kinds("StableDiffusion", _sd_parts),
    *_unet_kinds("StableDiffusionXL", families.xl_parts),
    Case(name="StableDiffusion3Pipeline", parts=families.sd3_parts, extra=SMALL),
    Case(name="StableDiffusion3Img2ImgPipeline", parts=families.sd3_parts, extra=_IMAGE | SMALL),
    Case(
        name="StableDiffusion3InpaintPipeline",
        parts=partial(families.sd3_parts, channels=16),
        extra=_MASKED,
    ),
    Case(name="FluxPipeline", parts=families.flux_parts, extra=families.CALLS["flux"]),
    Case(name="PixArtAlphaPipeline", parts=families.pixart_parts, extra=families.CALLS["pixart"]),
    Case(name="PixArtSigmaPipeline", parts=families.pixart_parts, extra=families.CALLS["pixart"]),
    Case(name="SanaPipeline", parts=families.sana_parts, extra=families.CALLS["sana"]),
]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """``what`` is refused by ``do``, which raises."""

    what: str
    do: Callable[[], Any]


def _call(name: str, safety: Any = "max", **changes: Any) -> Callable[[], Any]:
    case = next(case for case in CASES if case.name == name)
    return lambda: guard(case.pipeline(), safety)(**(case.arguments() | changes))


def _instruct() -> Any:
    parts = tiny.parts(in_channels=8) | {"requires_safety_checker": False, "image_encoder": None}
    return guard(families.build(diffusers.StableDiffusionInstructPix2PixPipeline, lambda: parts))


def _perturbed() -> Any:
    return guard(families.build(diffusers.StableDiffusionPAGPipeline, _sd_parts))


def _consistency() -> Any:
    return guard(tiny.pipeline(unet=tiny.parts(time_cond_proj_dim=8)["unet"]))


def _guidance_distilled() -> Any:
    transformer = families.flux_parts()["transformer"]
    distilled = type(transformer)(**(dict(transformer.config) | {"guidance_embeds": True}))
    return guard(families.build(diffusers.FluxPipeline, families.flux_parts, transformer=distilled))


def _set(name: str, **parts: Any) -> Callable[[], Any]:
    """Guard a pipeline with other parts."""

    def guarded() -> Any:
        pipe = next(case for case in CASES if case.name == name).pipeline()
        for part, value in parts.items():
            setattr(pipe, part, value)
        return guard(pipe)

    return guarded


_CUT_OFF = SDXLCFGCutoffCallback(cutoff_step_ratio=0.5)
REFUSALS = [
    Refusal(
        what="a pipeline whose order of calls is not known (here with perturbed attention)",
        do=_perturbed,
    ),
    Refusal(what="a pipeline with its own three estimates (InstructPix2Pix)", do=_instruct),
    Refusal(what="a latent consistency model", do=_consistency),
    Refusal(what="a guidance-distilled Flux", do=_guidance_distilled),
    Refusal(
        what="guidance scale 1 or less", do=_call("StableDiffusionXLPipeline", guidance_scale=1.0)
    ),
    Refusal(what="Flux without a negative prompt", do=_call("FluxPipeline", negative_prompt=None)),
    Refusal(what="Flux without true guidance", do=_call("FluxPipeline", true_cfg_scale=1.0)),
    Refusal(
        what="image-to-image so weak that no step is guarded",
        do=_call("StableDiffusionImg2ImgPipeline", "medium", strength=0.5),
    ),
    Refusal(what="a warm-up of all steps", do=_call("StableDiffusion3Pipeline", SLD(warmup=6))),
    Refusal(
        what="a scheduler whose noise is not known",
        do=_set("StableDiffusionPipeline", scheduler=diffusers.IPNDMScheduler()),
    ),
    Refusal(
        what="a prediction type other than noise, velocity and flow",
        do=_set("StableDiffusionPipeline", scheduler=tiny.scheduler(prediction_type="sample")),
    ),
    Refusal(
        what="words as the concept of a pipeline without a text encoder",
        do=_set("FluxPipeline", text_encoder_2=None),
    ),
    Refusal(
        what="ControlNet's guess mode",
        do=_call("StableDiffusionControlNetPipeline", guess_mode=True),
    ),
    Refusal(
        what="Stable Diffusion 3 with skipped layers",
        do=_call("StableDiffusion3Pipeline", skip_guidance_layers=[0]),
    ),
    Refusal(
        what="guidance that a callback switches off in the middle",
        do=_call("StableDiffusionXLPipeline", callback_on_step_end=_CUT_OFF),
    ),
    Refusal(what="the concept as prompt", do=_call("SanaPipeline", prompt=str(DEFAULT_CONCEPT))),
    Refusal(
        what="the concept as negative prompt",
        do=_call("StableDiffusionPipeline", negative_prompt=str(DEFAULT_CONCEPT)),
    ),
]
