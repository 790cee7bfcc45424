"""The classic pipelines that can be guarded: a table of how each family calls its denoiser. No
family has its own code.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from safelatent.errors import GuardError, UnsupportedError


@dataclass(frozen=True, kw_only=True)
class Family:
    """Pipelines that call their denoiser in the same way.

    Attributes:
        title: for people.
        pipelines: diffusers' class names.
        denoiser: the component that predicts.
        positional: names of the denoiser's arguments that the pipelines give by position; the first
            holds the latents.
        sequential: False: one call per step on the batch ``[unconditional, prompt]``; True: one on
            the prompt, then one on the negative prompt.
        scale: the argument of the pipeline that is the guidance scale.
        refused: arguments of the pipeline that change the order of calls, with what to do
            instead.
    """

    title: str
    pipelines: tuple[str, ...]
    denoiser: str = "transformer"
    positional: tuple[str, ...] = ("hidden_states",)
    sequential: bool = False
    scale: str = "guidance_scale"
    refused: Mapping[str, str] = field(default_factory=dict[str, str])

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the denoiser's arguments, all by name."""
        if len(args) > len(self.positional):
            raise GuardError(
                f"the denoiser got {len(args)} arguments by position; {self.title} is known to "
                f"give {len(self.positional)}"
            )
        return dict(zip(self.positional, args, strict=False)) | dict(kwargs)

    def latents(self, arguments: Mapping[str, Any]) -> Any:
        """Return the noisy latents that the denoiser got."""
        return arguments[self.positional[0]]


_GUESS = {
    "guess_mode": "guess_mode runs ControlNet without the prompt, which the guard does not know; "
    "leave it off"
}
_UNET: dict[str, Any] = {
    "denoiser": "unet",
    "positional": ("sample", "timestep"),
    "refused": _GUESS,
}

FAMILIES = (
    Family(
        title="Stable Diffusion 1.x / 2.x",
        pipelines=(
            "StableDiffusionPipeline",
            "StableDiffusionImg2ImgPipeline",
            "StableDiffusionInpaintPipeline",
            "StableDiffusionControlNetPipeline",
            "StableDiffusionControlNetImg2ImgPipeline",
            "StableDiffusionControlNetInpaintPipeline",
        ),
        **_UNET,
    ),
    Family(
        title="Stable Diffusion XL",
        pipelines=(
            "StableDiffusionXLPipeline",
            "StableDiffusionXLImg2ImgPipeline",
            "StableDiffusionXLInpaintPipeline",
            "StableDiffusionXLControlNetPipeline",
            "StableDiffusionXLControlNetImg2ImgPipeline",
            "StableDiffusionXLControlNetInpaintPipeline",
        ),
        **_UNET,
    ),
    Family(
        title="Stable Diffusion 3",
        pipelines=(
            "StableDiffusion3Pipeline",
            "StableDiffusion3Img2ImgPipeline",
            "StableDiffusion3InpaintPipeline",
        ),
        refused={
            "skip_guidance_layers": "skip_guidance_layers adds a fourth evaluation, in an order "
            "that the guard does not know; leave it out"
        },
    ),
    Family(
        title="Flux with true classifier-free guidance",
        pipelines=("FluxPipeline",),
        sequential=True,
        scale="true_cfg_scale",
    ),
    Family(title="PixArt", pipelines=("PixArtAlphaPipeline", "PixArtSigmaPipeline")),
    Family(title="Sana", pipelines=("SanaPipeline",)),
)


def family_of(pipe: Any) -> Family:
    """Return the family of a pipeline.

    A subclass is accepted when its ``__call__`` is that of a known pipeline: another one may call
    the denoiser in another order, and the guard would then act on the wrong half of the batch.

    Raises:
        UnsupportedError: naming the pipeline, the reason and the ways out.
    """
    caller = next((c for c in type(pipe).__mro__ if "__call__" in vars(c)), type(pipe))
    for family in FAMILIES:
        if caller.__name__ in family.pipelines and caller.__module__.startswith("diffusers."):
            return family
    known = ", ".join(name for family in FAMILIES for name in family.pipelines)
    raise UnsupportedError(
        f"cannot guard {type(pipe).__name__}: the order in which it calls its denoiser is not "
        f"known; supported: {known}"
    )


def text_as_given(pipe: Any) -> dict[str, Any]:
    """Return the arguments of a call that draws from its text as it is given.

    PixArt would rewrite it (``n%75de``) after the rule about minors has read it. Empty for
    pipelines that rewrite nothing.
    """
    rewrites = "clean_caption" in inspect.signature(pipe.__call__).parameters
    return {"clean_caption": False} if rewrites else {}
