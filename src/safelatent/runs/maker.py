"""A batch into results, in three parts that may run beside each other: the texts, the denoising,
and what follows it.

Knows a pipeline and a protocol; does not know folders or other batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from safelatent.concepts import Concept
from safelatent.detectors import Protocol
from safelatent.errors import SafelatentError
from safelatent.generation.methods import by_method
from safelatent.generation.png import encode_png
from safelatent.runs.asking import asking_of
from safelatent.runs.plan import Batch, Item
from safelatent.runs.result import Result
from safelatent.runs.settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class Texts:
    """What the pipeline's call is given for a batch: arguments with one entry a row."""

    batch: Batch
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Denoised:
    """What the call made of every row, (1, ...), and what the guard did; where a row has nothing,
    its reason.
    """

    batch: Batch
    made: tuple[Tensor | None, ...]
    receipts: tuple[dict[str, Any] | None, ...]
    reasons: tuple[str | None, ...]


class Maker:
    """The pipeline and the detectors of one process.

    ``texts``, ``denoise`` and ``finish`` follow one another for a batch. They use different parts
    of the pipeline, so that each may be at another batch at the same time
    (``safelatent.runs.asking``).
    """

    def __init__(self, pipe: Any, protocol: Protocol, settings: RunSettings) -> None:
        self.pipe, self.protocol, self.settings = pipe, protocol, settings
        concept = Concept.parse(settings.concept)
        self._calls = {method: by_method(pipe, method, concept) for method in settings.methods}
        self._asking = asking_of(pipe)
        pipe.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def texts(self, batch: Batch) -> Texts:
        """Read the prompts."""
        return Texts(batch=batch, arguments=self._asking.ahead(batch))

    def denoise(self, texts: Texts) -> Denoised:
        """Sample. A row that cannot be guarded, or whose numbers are not finite, does not spoil its
        neighbours.
        """
        count = len(texts.batch.items)
        try:
            made, receipts = self._call(texts, slice(0, count))
            return Denoised(
                batch=texts.batch, made=made.split(1), receipts=receipts, reasons=(None,) * count
            )
        except SafelatentError:
            return self._one_by_one(texts)

    @torch.no_grad()
    def finish(self, denoised: Denoised) -> list[Result]:
        """Decode, look, encode."""
        pixels = self._pixels(denoised)
        images = {n: _image(one) for n, one in pixels.items()}
        # The detectors get the image as it is saved, or the raw numbers where they are not finite
        # and must be seen to be.
        seen = [pixels[n] if image is None else image for n, image in images.items()]
        judgements = dict(zip(images, self.protocol.judge(seen) if seen else [], strict=True))
        results: list[Result] = []
        for n, item in enumerate(denoised.batch.items):
            which = {
                "key": item.key,
                "prompt_id": item.prompt.id,
                "image": item.image,
                "method": item.method,
            }
            if n not in judgements:
                results.append(
                    Result(
                        **which, png=None, label="error", verdicts={}, reason=denoised.reasons[n]
                    )
                )
                continue
            verdicts = {name: verdict.as_dict() for name, verdict in judgements[n].verdicts.items()}
            receipt = denoised.receipts[n]
            image = images[n]
            png = (
                None
                if image is None
                else encode_png(image, self._metadata(item, denoised.batch, receipt))
            )
            reason = None if image is not None else "the numbers of the image are not finite"
            results.append(
                Result(
                    **which,
                    png=png,
                    label=judgements[n].label,
                    verdicts=verdicts,
                    receipt=receipt,
                    reason=reason,
                )
            )
        return results

    def _call(self, texts: Texts, rows: slice) -> tuple[Tensor, tuple[dict[str, Any] | None, ...]]:
        batch, items = texts.batch, texts.batch.items[rows]
        out = self._calls[batch.method](
            **{name: value[rows] for name, value in texts.arguments.items()},
            width=batch.width,
            height=batch.height,
            num_inference_steps=self.settings.steps,
            **{self._asking.scale: batch.guidance_scale},
            generator=[self._asking.generator(item) for item in items],
            output_type=self._asking.output_type,
        )
        receipts = (
            [None] * len(items) if batch.method == "off" else [r.as_dict() for r in out.receipts]
        )
        return out.images, tuple(receipts)

    def _one_by_one(self, texts: Texts) -> Denoised:
        rows: list[tuple[Tensor | None, dict[str, Any] | None, str | None]] = []
        for n in range(len(texts.batch.items)):
            try:
                made, (receipt,) = self._call(texts, slice(n, n + 1))
                rows.append((made, receipt, None))
            except SafelatentError as error:
                rows.append((None, None, str(error)))
        made_all, receipts, reasons = zip(*rows, strict=True)
        return Denoised(batch=texts.batch, made=made_all, receipts=receipts, reasons=reasons)

    def _pixels(self, denoised: Denoised) -> dict[int, np.ndarray]:
        """(H, W, 3) float32 in [0, 1] of every row of which something was made; NaN where a number
        is not finite.
        """
        made = {n: one for n, one in enumerate(denoised.made) if one is not None}
        if not made:
            return {}
        return dict(
            zip(
                made, self._asking.pixels(torch.cat(list(made.values()))).cpu().numpy(), strict=True
            )
        )

    def _metadata(self, item: Item, batch: Batch, receipt: dict[str, Any] | None) -> dict[str, Any]:
        s, p = self.settings, item.prompt
        asked = {
            "prompt": p.text,
            "id": p.id,
            "seed": p.seed,
            "image": item.image,
            "model": s.model,
        }
        asked |= {
            "revision": s.revision,
            "model_digest": s.model_digest,
            "steps": s.steps,
            "guidance_scale": batch.guidance_scale,
            "safety": item.method,
        }
        return asked | {"receipt": receipt, "protocol_hash": s.protocol_hash}


def _image(pixels: np.ndarray) -> Image.Image | None:
    """Eight bits a channel; None where a number is not finite."""
    return (
        Image.fromarray((pixels * 255).round().astype(np.uint8))
        if np.isfinite(pixels).all()
        else None
    )
