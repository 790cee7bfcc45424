"""A call's arguments under a policy: those that it knows, of the type that it reads.

What it does not know is refused, so that no pipeline's next argument is a way past the checks. A
default is the pipeline's, and not the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from safelatent.errors import BadValueError
from safelatent.guidance.noise import real_number, shown, whole_number
from safelatent.pipelines.checks import check_texts
from safelatent.policy.decision import PolicyError

TEXTS = ("prompt", "prompt_2", "prompt_3")
NEGATIVES = ("negative_prompt", "negative_prompt_2", "negative_prompt_3")
COUNTS = ("num_images_per_prompt", "num_videos_per_prompt")
_NUMBERS = ("num_inference_steps", *COUNTS, "height", "width")
KNOWN = frozenset(
    (
        *TEXTS,
        *NEGATIVES,
        *_NUMBERS,
        # pictures, and how they are used
        "image",
        "mask_image",
        "padding_mask_crop",
        "strength",
        "control_image",
        "control_guidance_start",
        "control_guidance_end",
        "controlnet_conditioning_scale",
        "guess_mode",
        # noise and numbers
        "generator",
        "latents",
        "eta",
        "guidance_scale",
        "guidance_rescale",
        "true_cfg_scale",
        "num_frames",
        # how the text is read
        "clean_caption",
        "clip_skip",
        "max_sequence_length",
        "text_encoder_out_layers",
        # Stable Diffusion XL's, of the picture's size and rating; and PixArt's
        "aesthetic_score",
        "crops_coords_top_left",
        "original_size",
        "target_size",
        "use_resolution_binning",
        # what is returned, and parts of callbacks that do nothing alone
        "callback_on_step_end_tensor_inputs",
        "callback_steps",
        "output_type",
        "return_dict",
    )
)
_UNREAD = "which the policy's checks cannot read; give the prompt as text"
_HIDDEN = "which can hold embeddings that no check reads; leave out all of it but LoRA's scale"
_UNFINISHED = "which leaves an image to another call, where no check sees it; leave it out"
_SHOWN = "which is shown every step, also of an image that may not leave; leave it out"
_SCHEDULE = "which can pass by the noise at which the guard acts; give num_inference_steps instead"
_UNKNOWN = "which the policy does not know, nor what it could pass by; leave it out"
# What a call under a policy must not give, and why; beside these, whatever is embedded.
_REFUSED = {
    "ip_adapter_image": _UNREAD,
    "negative_ip_adapter_image": _UNREAD,
    "complex_human_instruction": _UNREAD,  # Sana's, around the prompt
    "denoiser_input_fields": _UNREAD,
    "controlnet_kwargs": _UNREAD,
    "denoising_start": _UNFINISHED,
    "denoising_end": _UNFINISHED,
    "callback": _SHOWN,
    "callback_on_step_end": _SHOWN,
    "timesteps": _SCHEDULE,
    "sigmas": _SCHEDULE,
    "mu": _SCHEDULE,
}


def checked(arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's arguments with numbers as Python's.

    Args:
        arguments: by name, defaults included.
        defaults: the pipeline's.

    Raises:
        PolicyError: the call gives what no check can read, or what could pass by the checks.
        BadValueError: what a policy reads of a call is not of its type.
    """
    found = dict(arguments)
    for name, value in arguments.items():
        given = value is not None and value is not defaults.get(name)
        if given and (why := _refused(name, value)):
            raise PolicyError(f"the call gives {name}, {why}", "not guardable")
    for name in (*TEXTS, *NEGATIVES):
        check_texts(name, arguments.get(name))
    if "clean_caption" in found:  # PixArt's and Sana's, which would rewrite a checked prompt
        found["clean_caption"] = False
    for name in _NUMBERS:
        if arguments.get(name) is not None:
            found[name] = whole_number(name, arguments[name])
    if arguments.get("strength") is not None:
        found["strength"] = _share("strength", arguments["strength"])
    noise = arguments.get("generator")
    each = noise if isinstance(noise, list) else [noise]
    if noise is not None and not all(isinstance(one, torch.Generator) for one in each):
        raise BadValueError(
            f"generator is {shown(noise)}; it must be a torch.Generator, or one per image"
        )
    if arguments.get("output_type", "pil") != "pil" or not arguments.get("return_dict", True):
        raise BadValueError(
            "under a policy every image is judged and has a receipt: leave output_type and"
            " return_dict at their defaults"
        )
    return found


def _refused(name: str, value: Any) -> str | None:
    if name.endswith("attention_kwargs"):
        scale = isinstance(value, Mapping) and set(value) <= {"scale"}
        return None if scale else _HIDDEN
    if "embeds" in name or name.endswith("attention_mask"):
        return _UNREAD
    return _REFUSED.get(name, None if name in KNOWN else _UNKNOWN)


def _share(name: str, value: object) -> float:
    share = real_number(value)
    if share is None or not 0 <= share <= 1:
        raise BadValueError(f"{name} is {shown(value)}; it must be a number from 0 to 1")
    return share


def steps_of(arguments: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return how many steps a call asks for, and how many it takes at least: from image to image
    that is the share ``strength`` of them.

    Args:
        arguments: of ``checked``.
    """
    asked, strength = arguments.get("num_inference_steps"), arguments.get("strength")
    if asked is None or strength is None or arguments.get("image") is None:
        return asked, asked
    return asked, int(asked * strength)
