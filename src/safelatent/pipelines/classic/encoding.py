"""A concept as a classic pipeline encodes it, once for many calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from safelatent.concepts import Concept
from safelatent.pipelines.classic.families import Family
from safelatent.pipelines.classic.text import encode_concept, rows_of
from safelatent.pipelines.encoded import EncodedConcepts
from safelatent.pipelines.safety import ConceptEmbeds

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


def encoded_concepts(
    kept: EncodedConcepts,
    pipe: Any,
    family: Family,
    concepts: Sequence[Concept | ConceptEmbeds],
    arguments: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return the denoiser's text arguments for each concept, tensors of one row.

    Args:
        kept: what the calls before encoded.
        pipe: a classic pipeline.
        arguments: of the call, by name.
    """
    own = dict(arguments)
    read = {name: value for name, value in own.items() if not name.startswith(_NOT_TEXT)}
    # Embeddings of another number of prompts round otherwise in the last place.
    read["rows"] = rows_of(arguments)
    encode = partial(encode_concept, pipe, family, arguments=own)
    return kept.get(encode, pipe, concepts, read)
