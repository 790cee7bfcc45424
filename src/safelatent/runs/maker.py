"""A batch into results, in three parts that may run beside each other: the texts, the denoising, and what follows it.

Knows a pipeline and a protocol; does not know folders or other batches.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from safelatent.concepts import Concept
from safelatent.detectors import Protocol
from safelatent.errors import SafelatentError
from safelatent.runs.methods import by_method
from safelatent.runs.plan import Batch, Item
from safelatent.runs.png import encode_png
from safelatent.runs.result import Result
from safelatent.runs.settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A batch's prompts as embeddings, (B, tokens, width), and those of the empty prompt."""

    batch: Batch
    prompt: Tensor
    empty: Tensor


@dataclass(frozen=True, kw_only=True)
class Denoised:
    """A batch's clean latents, (B, C, H, W), and what the guard did; where a row has no image, its reason."""

    batch: Batch
    latents: Tensor
    receipts: tuple[dict[str, Any] | None, ...]
    reasons: tuple[str | None, ...]


class Maker:
    """The pipeline and the detectors of one process.

    ``texts``, ``denoise`` and ``finish`` follow one another for a batch. They use different parts of the pipeline (text encoder,
    denoiser and scheduler, decoder), so that each may be at another batch at the same time. The tokenizer is two: it keeps padding and
    truncation from one call to the next, and a guarded call reads its concept with it.
    """

    def __init__(self, pipe: Any, protocol: Protocol, settings: RunSettings) -> None:
        self.pipe, self.protocol, self.settings = pipe, protocol, settings
        concept = Concept.parse(settings.concept)
        self._calls = {method: by_method(pipe, method, concept) for method in settings.methods}
        pipe.set_progress_bar_config(disable=True)
        self._reader = copy.copy(pipe)
        self._reader.tokenizer = copy.deepcopy(pipe.tokenizer)

    @torch.no_grad()
    def texts(self, batch: Batch) -> Texts:
        """Encode the prompts."""
        words = [item.prompt.text for item in batch.items]
        prompt, empty = self._reader.encode_prompt(words, self.pipe._execution_device, 1, True)
        return Texts(batch=batch, prompt=prompt, empty=empty)

    def denoise(self, texts: Texts) -> Denoised:
        """Sample the latents. A row that cannot be guarded, or whose numbers are not finite, does not spoil its neighbours."""
        batch = texts.batch
        noise = torch.cat([self._noise(item, batch) for item in batch.items])
        try:
            latents, receipts = self._call(texts, noise, slice(None))
            return Denoised(batch=batch, latents=latents, receipts=receipts, reasons=(None,) * len(noise))
        except SafelatentError:
            return self._one_by_one(texts, noise)

    @torch.no_grad()
    def finish(self, denoised: Denoised) -> list[Result]:
        """Decode, look, encode."""
        pixels = self._decode(denoised.latents)
        judged = [n for n, reason in enumerate(denoised.reasons) if reason is None]
        images = [_image(one) for one in pixels]
        # The detectors get the image as it is saved, or the raw numbers where they are not finite and must be seen to be.
        seen = [pixels[n] if images[n] is None else images[n] for n in judged]
        judgements = dict(zip(judged, self.protocol.judge(seen) if judged else [], strict=True))
        results: list[Result] = []
        for n, item in enumerate(denoised.batch.items):
            which = {"key": item.key, "prompt_id": item.prompt.id, "image": item.image, "method": item.method}
            if n not in judgements:
                results.append(Result(**which, png=None, label="error", verdicts={}, reason=denoised.reasons[n]))
                continue
            verdicts = {name: verdict.as_dict() for name, verdict in judgements[n].verdicts.items()}
            receipt = denoised.receipts[n]
            image = images[n]
            png = None if image is None else encode_png(image, self._metadata(item, denoised.batch, receipt))
            reason = None if image is not None else "the numbers of the image are not finite"
            results.append(Result(**which, png=png, label=judgements[n].label, verdicts=verdicts, receipt=receipt, reason=reason))
        return results

    def _call(self, texts: Texts, noise: Tensor, rows: slice) -> tuple[Tensor, tuple[dict[str, Any] | None, ...]]:
        batch = texts.batch
        out = self._calls[batch.method](
            prompt_embeds=texts.prompt[rows],
            negative_prompt_embeds=texts.empty[rows],
            latents=noise[rows],
            width=batch.width,
            height=batch.height,
            num_inference_steps=self.settings.steps,
            guidance_scale=batch.guidance_scale,
            generator=[_generator(item.prompt.seed, item.image) for item in batch.items[rows]],  # for schedulers that add noise
            output_type="latent",
        )
        receipts = [None] * len(noise[rows]) if batch.method == "off" else [r.as_dict() for r in out.receipts]
        return out.images, tuple(receipts)

    def _one_by_one(self, texts: Texts, noise: Tensor) -> Denoised:
        latents, receipts, reasons = torch.zeros_like(noise), [], []
        for n in range(len(noise)):
            try:
                latents[n : n + 1], (receipt,) = self._call(texts, noise, slice(n, n + 1))
                receipts.append(receipt)
                reasons.append(None)
            except SafelatentError as error:
                receipts.append(None)
                reasons.append(str(error))
        return Denoised(batch=texts.batch, latents=latents, receipts=tuple(receipts), reasons=tuple(reasons))

    def _noise(self, item: Item, batch: Batch) -> Tensor:
        """The first noise, (1, C, H, W): the ``image``-th draw of the prompt's seed, on the CPU, as a call for many images draws it."""
        unet, factor = self.pipe.unet.config, self.pipe.vae_scale_factor
        height, width = (side // factor if side else unet.sample_size for side in (batch.height, batch.width))
        generator = torch.Generator("cpu").manual_seed(item.prompt.seed)
        shape = (item.image + 1, unet.in_channels, height, width)
        noise = torch.randn(shape, generator=generator, dtype=torch.float32)[-1:]
        return noise.to(self.pipe._execution_device, self.pipe.unet.dtype)

    def _decode(self, latents: Tensor) -> np.ndarray:
        """Pixels, (B, H, W, 3) float32 in [0, 1]; NaN where the decoder's are not finite."""
        vae = self.pipe.vae
        decoded = vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0]
        decoded = decoded.float().masked_fill(~decoded.isfinite(), torch.nan)  # the clamp keeps NaN, and would make colours of infinities
        pixels = (decoded / 2 + 0.5).clamp(0, 1)
        return pixels.permute(0, 2, 3, 1).cpu().numpy()

    def _metadata(self, item: Item, batch: Batch, receipt: dict[str, Any] | None) -> dict[str, Any]:
        s, p = self.settings, item.prompt
        asked = {"prompt": p.text, "id": p.id, "seed": p.seed, "image": item.image, "model": s.model}
        asked |= {
            "revision": s.revision,
            "model_digest": s.model_digest,
            "steps": s.steps,
            "guidance_scale": batch.guidance_scale,
            "safety": item.method,
        }
        return asked | {"receipt": receipt, "protocol_hash": s.protocol_hash}


def _generator(seed: int, image: int) -> torch.Generator:
    """Apart from the first noise's, and apart for every image of a prompt."""
    return torch.Generator("cpu").manual_seed((seed * 10_007 + image + 1) % 2**63)


def _image(pixels: np.ndarray) -> Image.Image | None:
    """Eight bits a channel; None where a number is not finite."""
    return Image.fromarray((pixels * 255).round().astype(np.uint8)) if np.isfinite(pixels).all() else None
