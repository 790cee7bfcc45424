"""How a pipeline is asked for the images of a batch: in parts that may run beside each other where
its parts are known, else whole.

Knows pipelines; does not know methods, detectors or folders. What both give is one image a row,
determined by the row alone.
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


class Asking(Protocol):
    """The way of one kind of pipeline.

    Attributes:
        scale: the argument of the call that is the guidance scale.
        output_type: what the call is to give, a row each.
    """

    scale: str
    output_type: str

    def ahead(self, batch: Batch) -> dict[str, Any]:
        """Arguments of the call with one entry a row; may run while another batch is denoised."""
        ...

    def generator(self, item: Item) -> torch.Generator:
        """For the noise that the call itself draws for a row."""
        ...

    def pixels(self, made: Tensor) -> Tensor:
        """(B, H, W, 3) float32 in [0, 1] from what calls gave; NaN where a number is not finite.
        May run while another is denoised.
        """
        ...


def family_to_draw(pipe: Any) -> Family:
    """The family of a pipeline that a run can draw with.

    Raises:
        UnsupportedError: it cannot be guarded, or draws from an image.
    """
    family = family_of(pipe)
    if "image" in inspect.signature(pipe.__call__).parameters:
        raise UnsupportedError(
            f"runs draw from text alone, and {type(pipe).__name__} from an image too; use its text-to-image pipeline"
        )
    return family


def asking_of(pipe: Any) -> Asking:
    """The way to ask ``pipe``.

    Raises:
        UnsupportedError: no run can draw with it.
    """
    from diffusers import StableDiffusionPipeline

    family = family_to_draw(pipe)
    return InParts(pipe, family) if isinstance(pipe, StableDiffusionPipeline) else Whole(family)


class InParts:
    """Stable Diffusion 1.x and 2.x: texts before, latents from the call, the decoder after.

    The tokenizer is a copy: it keeps padding and truncation from one call to the next, and a
    guarded call reads its concept with the pipeline's own.
    """

    output_type = "latent"

    def __init__(self, pipe: Any, family: Family) -> None:
        self.scale = family.scale
        self._pipe, self._reader = pipe, copy.copy(pipe)
        self._reader.tokenizer = copy.deepcopy(pipe.tokenizer)

    def ahead(self, batch: Batch) -> dict[str, Any]:
        """Embeddings of the prompts and of the empty prompt, (B, tokens, width), and the first
        noise, (B, C, H, W).
        """
        words = [item.prompt.text for item in batch.items]
        prompt, empty = self._reader.encode_prompt(words, self._pipe._execution_device, 1, True)
        noise = torch.cat([self._noise(item, batch) for item in batch.items])
        return {"prompt_embeds": prompt, "negative_prompt_embeds": empty, "latents": noise}

    def generator(self, item: Item) -> torch.Generator:
        """Apart from the first noise's, and apart for every image of a prompt: for schedulers that
        add noise.
        """
        return _seeded(_own_seed(item))

    def pixels(self, made: Tensor) -> Tensor:
        """Decoded."""
        vae = self._pipe.vae
        decoded = vae.decode(made / vae.config.scaling_factor, return_dict=False)[0].float()
        decoded = decoded.masked_fill(
            ~decoded.isfinite(), torch.nan
        )  # the clamp keeps NaN, and would make colours of infinities
        return (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)

    def _noise(self, item: Item, batch: Batch) -> Tensor:
        """The first noise, (1, C, H, W): the ``image``-th draw of the prompt's seed, on the CPU, as
        a call for many images draws it.
        """
        unet, factor = self._pipe.unet.config, self._pipe.vae_scale_factor
        height, width = (
            side // factor if side else unet.sample_size for side in (batch.height, batch.width)
        )
        shape = (item.image + 1, unet.in_channels, height, width)
        noise = torch.randn(shape, generator=_seeded(item.prompt.seed), dtype=torch.float32)[-1:]
        return noise.to(self._pipe._execution_device, self._pipe.unet.dtype)


class Whole:
    """Any other pipeline: the call does it all.

    Image 0 of a prompt is that of a plain call with the prompt's seed; the seeds of the others come
    from it. diffusers clamps the pixels, so that a decoder's infinities cannot be seen here; NaN
    can.
    """

    output_type = "pt"

    def __init__(self, family: Family) -> None:
        self.scale, self._sequential = family.scale, family.sequential

    def ahead(self, batch: Batch) -> dict[str, Any]:
        """The prompts, and, for a family that asks for it, empty negative ones."""
        words = [item.prompt.text for item in batch.items]
        return {"prompt": words} | (
            {"negative_prompt": [""] * len(words)} if self._sequential else {}
        )

    def generator(self, item: Item) -> torch.Generator:
        """The same for all methods: the first noise is drawn from it."""
        return _seeded(item.prompt.seed if item.image == 0 else _own_seed(item))

    def pixels(self, made: Tensor) -> Tensor:
        """As the pipeline gave them."""
        return made.float().permute(0, 2, 3, 1)


def _own_seed(item: Item) -> int:
    """Apart from the prompt's, and apart for every image of a prompt."""
    return (item.prompt.seed * 10_007 + item.image + 1) % 2**63


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)
