"""A batch into results, in three stages that may run in parallel: encode, denoise, finish.

A pipeline and a protocol; no folders, no other batches.
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
from safelatent.detectors import Judgement, Protocol
from safelatent.errors import SafelatentError
from safelatent.generation.methods import by_method
from safelatent.pipelines.classic.families import text_as_given
from safelatent.provenance.png import encode_png
from safelatent.runs.calls import call_of
from safelatent.runs.plan import Batch, Item
from safelatent.runs.settings import RunSettings
from safelatent.runs.store import Result

Receipt = dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What the pipeline's call is given for a batch: arguments with one entry per image."""

    batch: Batch
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Denoised:
    """What the call returned for every item, (1, ...), and what the guard did; if there is nothing,
    the reason.
    """

    batch: Batch
    drawn: tuple[Tensor | None, ...]
    receipts: tuple[Receipt, ...]
    reasons: tuple[str | None, ...]


class Worker:
    """The pipeline and the detectors of one process.

    ``encode``, ``denoise`` and ``finish`` follow one another for a batch. They use different parts
    of the pipeline, so that each may be at another batch at the same time
    (``safelatent.runs.calls``).
    """

    def __init__(self, pipe: Any, protocol: Protocol, settings: RunSettings) -> None:
        self.pipe, self.protocol, self.settings = pipe, protocol, settings
        concept = Concept.parse(settings.concept)
        self._samplers = {
            method: by_method(pipe, method, concept, settings.plan) for method in settings.methods
        }
        self._call_of, self._as_given = call_of(pipe), text_as_given(pipe)
        pipe.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def encode(self, batch: Batch) -> Encoded:
        """Encode the prompts."""
        return Encoded(batch=batch, arguments=self._call_of.encode(batch))

    def denoise(self, encoded: Encoded) -> Denoised:
        """Sample. An image that cannot be guarded, or whose numbers are not finite, does not spoil
        its neighbours.
        """
        count = len(encoded.batch.items)
        try:
            drawn, receipts = self._call(encoded, slice(0, count))
        except SafelatentError:
            return self._one_by_one(encoded)
        return Denoised(
            batch=encoded.batch,
            drawn=drawn.split(1),
            receipts=receipts,
            reasons=(None,) * count,
        )

    @torch.no_grad()
    def finish(self, denoised: Denoised) -> list[Result]:
        """Decode, judge, encode as PNG."""
        pixels = self._pixels(denoised)
        images = {n: _image(one) for n, one in pixels.items()}
        # The detectors get the image as it is saved, or the raw numbers if they are not finite and
        # must be seen to be.
        seen = [pixels[n] if image is None else image for n, image in images.items()]
        judged = self.protocol.judge(seen) if seen else []
        judgements = dict(zip(images, judged, strict=True))
        return [
            self._result(denoised, n, images[n], judgements[n])
            if n in judgements
            else _failure(item, denoised.reasons[n])
            for n, item in enumerate(denoised.batch.items)
        ]

    def _call(self, encoded: Encoded, rows: slice) -> tuple[Tensor, tuple[Receipt, ...]]:
        batch, items = encoded.batch, encoded.batch.items[rows]
        out = self._samplers[batch.method](
            **{name: value[rows] for name, value in encoded.arguments.items()},
            width=batch.width,
            height=batch.height,
            num_inference_steps=self.settings.steps,
            **{self._call_of.scale: batch.guidance_scale},
            generator=[self._call_of.generator(item) for item in items],
            output_type=self._call_of.output_type,
            **self._as_given,
        )
        unguarded = batch.method == "off"
        receipts = [None] * len(items) if unguarded else [r.as_dict() for r in out.receipts]
        return out.images, tuple(receipts)

    def _one_by_one(self, encoded: Encoded) -> Denoised:
        rows: list[tuple[Tensor | None, Receipt, str | None]] = []
        for n in range(len(encoded.batch.items)):
            try:
                drawn, (receipt,) = self._call(encoded, slice(n, n + 1))
                rows.append((drawn, receipt, None))
            except SafelatentError as error:
                rows.append((None, None, str(error)))
        all_drawn, receipts, reasons = zip(*rows, strict=True)
        return Denoised(batch=encoded.batch, drawn=all_drawn, receipts=receipts, reasons=reasons)

    def _pixels(self, denoised: Denoised) -> dict[int, np.ndarray]:
        """(H, W, 3) float32 in [0, 1] for every item of which something was drawn; NaN where a
        number is not finite.
        """
        drawn = {n: one for n, one in enumerate(denoised.drawn) if one is not None}
        if not drawn:
            return {}
        decoded = self._call_of.decode(torch.cat(list(drawn.values())))
        return dict(zip(drawn, decoded.cpu().numpy(), strict=True))

    def _result(
        self, denoised: Denoised, n: int, image: Image.Image | None, judgement: Judgement
    ) -> Result:
        item, receipt = denoised.batch.items[n], denoised.receipts[n]
        metadata = self._metadata(item, denoised.batch, receipt)
        verdicts = {name: verdict.as_dict() for name, verdict in judgement.verdicts.items()}
        return Result(
            **_which(item),
            png=None if image is None else encode_png(image, metadata),
            label=judgement.label,
            verdicts=verdicts,
            receipt=receipt,
            reason=None if image is not None else "the numbers of the image are not finite",
        )

    def _metadata(self, item: Item, batch: Batch, receipt: Receipt) -> dict[str, Any]:
        s, p = self.settings, item.prompt
        return {
            "prompt": p.text,
            "id": p.id,
            "seed": p.seed,
            "image": item.image,
            "model": s.model,
            "revision": s.revision,
            "variant": s.variant,
            "model_digest": s.model_digest,
            "steps": s.steps,
            "guidance_scale": batch.guidance_scale,
            "safety": item.method,
            "receipt": receipt,
            "protocol_hash": s.protocol_hash,
        }


def _failure(item: Item, reason: str | None) -> Result:
    return Result(**_which(item), png=None, label="error", verdicts={}, reason=reason)


def _which(item: Item) -> dict[str, Any]:
    return {
        "key": item.key,
        "prompt_id": item.prompt.id,
        "image": item.image,
        "method": item.method,
    }


def _image(pixels: np.ndarray) -> Image.Image | None:
    """Eight bits per channel; None if a number is not finite."""
    if not np.isfinite(pixels).all():
        return None
    return Image.fromarray((pixels * 255).round().astype(np.uint8))
