"""Concepts as the denoiser gets them, kept from one call to the next while nothing changed.

What changes after guarding is seen by the next call: another text encoder, LoRA, dtype or device,
or another argument of the call. What cannot be compared (adapters, hooks, replaced methods) is
encoded anew in every call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from safelatent.concepts import Concept
from safelatent.pipelines.classic.families import Family
from safelatent.pipelines.classic.text import encode_concept, rows_of
from safelatent.pipelines.foreign import torch_hooks, wrappers
from safelatent.pipelines.safety import ConceptEmbeds

SAMPLED = 8  # values of each weight that are compared: a merged LoRA changes nearly all of them
# Arguments of the pipelines' calls in which the text is not read.
_NOT_TEXT = (
    "aesthetic_score",
    "callback",
    "control_guidance",
    "control_image",
    "controlnet_conditioning_scale",
    "crops_coords",
    "denoising_end",
    "denoising_start",
    "eta",
    "generator",
    "guidance_rescale",
    "guidance_scale",
    "height",
    "image",
    "ip_adapter_image",
    "latents",
    "mask_image",
    "masked_image_latents",
    "negative_",
    "num_images_per_prompt",
    "num_inference_steps",
    "original_size",
    "output_type",
    "padding_mask_crop",
    "prompt",
    "pooled_prompt_embeds",
    "return_dict",
    "sigmas",
    "strength",
    "target_size",
    "timesteps",
    "true_cfg_scale",
    "width",
)
_PLAIN = (bool, int, float, str, type(None))
Arguments = dict[str, Any]


class EncodedConcepts:
    """The last concepts that were encoded; a copy begins empty."""

    def __init__(self) -> None:
        self._key: Any = None
        self._parts: Any = None  # kept, so that another object cannot have their identity
        self._encoded: list[Arguments] = []

    def __reduce__(self) -> Any:
        return EncodedConcepts, ()

    def get(
        self,
        pipe: Any,
        family: Family,
        concepts: Sequence[Concept | ConceptEmbeds],
        arguments: Mapping[str, Any],
    ) -> list[Arguments]:
        """Return the denoiser's text arguments for each concept, tensors of one row.

        Args:
            arguments: of the call, by name.
        """
        key = _key(pipe, concepts, arguments)
        if key is None or key != self._key:
            own = dict(arguments)
            self._encoded = [encode_concept(pipe, family, one, own) for one in concepts]
            self._key, self._parts = key, (dict(pipe.components), tuple(concepts))
        return self._encoded


def _key(
    pipe: Any, concepts: Sequence[Concept | ConceptEmbeds], arguments: Mapping[str, Any]
) -> Any:
    """Return all that determines how concepts are encoded; None if it cannot be compared."""
    read = {name: value for name, value in arguments.items() if not name.startswith(_NOT_TEXT)}
    if not all(isinstance(value, _PLAIN) for value in read.values()) or vars(pipe).keys() & {
        "encode_prompt",
        "_encode_prompt",
    }:
        return None
    words = [str(one) if isinstance(one, Concept) else id(one) for one in concepts]
    parts = {n: part for n, part in pipe.components.items() if "text" in n or "token" in n}
    marks = {name: _mark(part) for name, part in parts.items() if part is not None}
    if None in marks.values():
        return None
    denoisers = [
        pipe.components[n] for n in ("unet", "transformer") if pipe.components.get(n) is not None
    ]
    rows = [_token_rows(parts, str(one)) for one in concepts if isinstance(one, Concept)]
    where = [(str(one.device), str(one.dtype), _autocast(one.device.type)) for one in denoisers]
    return words, sorted(read.items()), rows_of(arguments), marks, rows, where


def _autocast(device: str) -> torch.dtype | None:
    """Return the dtype in which ``torch.autocast`` computes now; None outside of it."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def _mark(part: Any) -> Any:
    """Return what differs where a text encoder or a tokenizer changed; None if that is unknown."""
    if not isinstance(part, nn.Module):
        return id(part), len(part), part.model_max_length
    tensors = [*part.parameters(), *part.buffers()]
    foreign = any(
        type(module).__module__.startswith("peft") or torch_hooks(module)
        for module in part.modules()
    )
    if foreign or wrappers(part) or any(t.is_meta or t.is_inference() for t in tensors):
        return None
    identities = [(t.data_ptr(), t._version, t.shape, t.dtype, str(t.device)) for t in tensors]
    return id(part), part.training, identities, _sampled(tensors)


@torch.no_grad()
def _token_rows(parts: Mapping[str, Any], words: str) -> list[float]:
    """Return a sum of each row of the text encoders' embeddings that the words read: a single row
    may change (a token that is learnt or edited), which a few values of the whole do not show.
    """
    found: list[float] = []
    for name, tokenizer in parts.items():
        encoder = parts.get(name.replace("tokenizer", "text_encoder"))
        if name.startswith("tokenizer") and tokenizer is not None and encoder is not None:
            weight = encoder.get_input_embeddings().weight
            ids = torch.tensor(tokenizer(words, verbose=False).input_ids, device=weight.device)
            found += weight[ids].float().sum(dim=1).tolist()  # pyright: ignore[reportUnknownMemberType]
    return found


@torch.no_grad()
def _sampled(tensors: Sequence[Tensor]) -> list[float]:
    """Return a few values of each tensor, evenly spread, read at once for each device."""
    found: list[float] = []
    for device in {t.device for t in tensors}:
        own = [t.detach().flatten() for t in tensors if t.device == device and t.numel()]
        spread = [t[:: max(1, len(t) // SAMPLED)][:SAMPLED].float() for t in own]
        found += torch.cat(spread).tolist()  # pyright: ignore[reportUnknownMemberType]
    return found
