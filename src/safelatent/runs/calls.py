"""How a pipeline is called for the images of a batch: in stages that may run in parallel if its
parts are known, else as a whole.

Each image is determined by its own prompt, seed and number alone, whatever shares its batch.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any, Protocol

import torch
from torch import Tensor

from safelatent.errors import UnsupportedError
from safelatent.pipelines.classic.families import Family, family_of
from safelatent.runs.plan import Batch, Item


class PipelineCall(Protocol):
    """The way to call one kind of pipeline.

    Attributes:
        scale: the argument of the call that is the guidance scale.
        output_type: the argument of that name: what the call returns, one entry per image.
    """

    scale: str
    output_type: str

    def encode(self, batch: Batch) -> dict[str, Any]:
        """Return arguments of the call with one entry per image.

        It may run while another batch is denoised.
        """
        ...

    def generator(self, item: Item) -> torch.Generator:
        """Return the generator of the noise that the call itself draws for an image."""
        ...

    def decode(self, drawn: Tensor) -> Tensor:
        """Return pixels, (B, H, W, 3) float32 in [0, 1]; NaN where a number is not finite.

        It may run while another batch is denoised.

        Args:
            drawn: what calls returned.
        """
        ...


def needs_image(pipe: Any) -> bool:
    """Return whether a pipeline draws from an image, and not from text alone."""
    return "image" in inspect.signature(pipe.__call__).parameters


def drawable_family(pipe: Any) -> Family:
    """Return the family of a pipeline that a run can draw with.

    Raises:
        UnsupportedError: it cannot be guarded, or draws from an image.
    """
    family = family_of(pipe)
    if needs_image(pipe):
        raise UnsupportedError(
            f"runs draw from text alone, and {type(pipe).__name__} needs an image;"
            " use its text-to-image pipeline"
        )
    return family


def call_of(pipe: Any) -> PipelineCall:
    """Return the way to call ``pipe``.

    Raises:
        UnsupportedError: no run can draw with it.
    """
    from diffusers import StableDiffusionPipeline

    family = drawable_family(pipe)
    staged = isinstance(pipe, StableDiffusionPipeline)
    return StagedCall(pipe, family) if staged else WholeCall(family)


class StagedCall:
    """Stable Diffusion 1.x and 2.x: texts encoded before the call, latents from it, decoded after.

    The tokenizer is a copy: it keeps padding and truncation from one call to the next, and a
    guarded call reads its concept with the pipeline's own.
    """

    output_type = "latent"

    def __init__(self, pipe: Any, family: Family) -> None:
        self.scale = family.scale
        self._pipe, self._reader = pipe, copy.copy(pipe)
        self._reader.tokenizer = copy.deepcopy(pipe.tokenizer)

    def encode(self, batch: Batch) -> dict[str, Any]:
        """Return embeddings of the prompts and, unless the method replaces it, of the empty
        prompt, (B, tokens, width), and the initial noise, (B, C, H, W).
        """
        words = [item.prompt.text for item in batch.items]
        prompt, empty = self._reader.encode_prompt(words, self._pipe._execution_device, 1, True)
        noise = torch.cat([self._noise(item, batch) for item in batch.items])
        encoded = {"prompt_embeds": prompt, "negative_prompt_embeds": empty, "latents": noise}
        if batch.method == "negative prompt":  # takes the concept there, and refuses anything else
            del encoded["negative_prompt_embeds"]
        return encoded

    def generator(self, item: Item) -> torch.Generator:
        """Return one that differs from the initial noise's and for every image of a prompt: for
        schedulers that add noise.
        """
        return _seeded(_own_seed(item))

    def decode(self, drawn: Tensor) -> Tensor:
        """Decode latents."""
        vae = self._pipe.vae
        decoded = vae.decode(drawn / vae.config.scaling_factor, return_dict=False)[0].float()
        # The clamp keeps NaN, but would turn infinities into colours.
        decoded = decoded.masked_fill(~decoded.isfinite(), torch.nan)
        return (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)

    def _noise(self, item: Item, batch: Batch) -> Tensor:
        """The initial noise, (1, C, H, W): the ``image``-th draw of the prompt's seed, on the CPU,
        as one call for many images draws it.
        """
        unet, factor = self._pipe.unet.config, self._pipe.vae_scale_factor
        height, width = (
            side // factor if side else unet.sample_size for side in (batch.height, batch.width)
        )
        shape = (item.image + 1, unet.in_channels, height, width)
        noise = torch.randn(shape, generator=_seeded(item.prompt.seed), dtype=torch.float32)[-1:]
        return noise.to(self._pipe._execution_device, self._pipe.unet.dtype)


class WholeCall:
    """Any other pipeline: the call does everything.

    Image 0 of a prompt is that of a plain call with the prompt's seed; the seeds of the others are
    derived from it. diffusers clamps the pixels, so that a decoder's infinities cannot be seen
    here; NaN can.
    """

    output_type = "pt"

    def __init__(self, family: Family) -> None:
        self.scale, self._sequential = family.scale, family.sequential

    def encode(self, batch: Batch) -> dict[str, Any]:
        """Return the prompts, and empty negative ones for a family that needs them."""
        words = [item.prompt.text for item in batch.items]
        negative = {"negative_prompt": [""] * len(words)} if self._sequential else {}
        return {"prompt": words} | negative

    def generator(self, item: Item) -> torch.Generator:
        """Return one that is the same for all methods: the initial noise is drawn from it."""
        return _seeded(item.prompt.seed if item.image == 0 else _own_seed(item))

    def decode(self, drawn: Tensor) -> Tensor:
        """Return the pixels as the pipeline gave them."""
        return drawn.float().permute(0, 2, 3, 1)


def _own_seed(item: Item) -> int:
    """A seed that differs from the prompt's and for every image of a prompt."""
    return (item.prompt.seed * 10_007 + item.image + 1) % 2**63


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)
