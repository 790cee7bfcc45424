"""The rows of a call: every image of a batch by itself, so that one can be drawn again."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safelatent.errors import BadValueError
from safelatent.guidance.noise import real_number, shown
from safelatent.pipelines.checks import whole_number
from safelatent.policy.decision import PolicyError

TEXTS = ("prompt", "prompt_2", "prompt_3")
NEGATIVES = ("negative_prompt", "negative_prompt_2", "negative_prompt_3")
# Arguments that hold something for every image where they are a list or a batch of as many.
_BY_ROW = (*TEXTS, *NEGATIVES, "image", "mask_image", "control_image", "latents")
INSTRUCTION = "complex_human_instruction"  # Sana's, around the prompt
_COUNTS = ("num_images_per_prompt", "num_videos_per_prompt")
_UNREAD = "which the policy's checks cannot read; give the prompt as text"
_HIDDEN = "which can hold embeddings that no check reads; leave out all of it but LoRA's scale"
_UNFINISHED = "which leaves an image to another call, where no check sees it; leave it out"
_SHOWN = "which is shown every step, also of an image that may not leave; leave it out"
# What a call under a policy must not give, and why; beside these, whatever is embedded.
_REFUSED = {
    "ip_adapter_image": _UNREAD,
    "negative_ip_adapter_image": _UNREAD,
    INSTRUCTION: _UNREAD,
    "denoiser_input_fields": _UNREAD,
    "controlnet_kwargs": _UNREAD,
    "denoising_start": _UNFINISHED,
    "denoising_end": _UNFINISHED,
    "callback": _SHOWN,
    "callback_on_step_end": _SHOWN,
}


def checked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's arguments with numbers as Python's.

    Raises:
        PolicyError: the call gives what no check can read, or what would pass by the checks.
        BadValueError: what a policy reads of a call is not of its type.
    """
    found = dict(arguments)
    for name, value in arguments.items():
        if value is not None and (why := _refused(name, value)):
            raise PolicyError(f"the call gives {name}, {why}", "not guardable")
    for name in (*TEXTS, *NEGATIVES):
        _check_texts(name, arguments.get(name))
    if "clean_caption" in found:  # PixArt's and Sana's, which would rewrite a checked prompt
        found["clean_caption"] = False
    for name in ("num_inference_steps", *_COUNTS, "height", "width"):
        if arguments.get(name) is not None:
            found[name] = whole_number(name, arguments[name])
    if arguments.get("strength") is not None:
        found["strength"] = _share("strength", arguments["strength"])
    for name in ("timesteps", "sigmas"):
        value = arguments.get(name)
        if value is not None and not hasattr(value, "__len__"):
            raise BadValueError(f"{name} is {shown(value)}; it must be a list of numbers")
    noise = arguments.get("generator")
    each = noise if isinstance(noise, list) else [noise]
    if noise is not None and not all(isinstance(one, torch.Generator) for one in each):
        raise BadValueError(
            f"generator is {shown(noise)}; it must be a torch.Generator, or one per image"
        )
    return found


def _refused(name: str, value: Any) -> str | None:
    if name.endswith("attention_kwargs"):
        scale = isinstance(value, Mapping) and set(value) <= {"scale"}
        return None if scale else _HIDDEN
    embedded = "embeds" in name or name.endswith("attention_mask")
    return _UNREAD if embedded else _REFUSED.get(name)


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
    own = [arguments[name] for name in ("timesteps", "sigmas") if arguments.get(name) is not None]
    asked = len(own[0]) if own else arguments.get("num_inference_steps")
    begins = any(arguments.get(name) is not None for name in ("image", "image_latents"))
    if asked is None or not begins or arguments.get("strength") is None:
        return asked, asked
    return asked, int(asked * arguments["strength"])


def _check_texts(name: str, value: object) -> None:
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise BadValueError(f"{name} is an empty list; give at least one text")
    for text in texts:
        if not isinstance(text, str) and value is not None:
            raise BadValueError(f"{name} holds {shown(text)}; it must be text")


@dataclass(kw_only=True)
class Rows:
    """A call's arguments, split.

    Attributes:
        shared: arguments that are the same for all images.
        by_row: those that are not, one mapping per image.
        generators: of the noise, one per image. The noise of an image depends on its own alone.
    """

    shared: dict[str, Any]
    by_row: list[dict[str, Any]]
    generators: list[torch.Generator]

    @classmethod
    def count(cls, arguments: Mapping[str, Any]) -> int:
        """Return how many images a call asks for."""
        return _prompts(arguments) * next((arguments[n] for n in _COUNTS if arguments.get(n)), 1)

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Rows:
        """Split a call.

        Args:
            arguments: of ``checked``.

        Raises:
            BadValueError: there are more or fewer generators than images, or texts than prompts.
        """
        prompts, count = _prompts(arguments), cls.count(arguments)
        each = count // prompts
        split = {
            name: _split(name, arguments[name], prompts, each)
            for name in _BY_ROW
            if arguments.get(name) is not None
        }
        shared = {n: v for n, v in arguments.items() if n not in split and n != "generator"}
        shared |= {name: 1 for name in _COUNTS if name in shared}
        rows = [{name: values[b] for name, values in split.items()} for b in range(count)]
        generators = _generators(arguments.get("generator"), count)
        return cls(shared=shared, by_row=rows, generators=generators)

    def __post_init__(self) -> None:
        self._states = [one.get_state() for one in self.generators]
        # Whose noise is the caller's own latents.
        self._given = {b for b, row in enumerate(self.by_row) if row.get("latents") is not None}

    def __len__(self) -> int:
        return len(self.by_row)

    def arguments(self, b: int) -> dict[str, Any]:
        """Return the arguments of a call for image ``b`` alone, without its generator."""
        return self.shared | self.by_row[b]

    def say(self, b: int, texts: Mapping[str, str]) -> None:
        """Let image ``b`` be drawn from these prompts."""
        self.by_row[b].update(texts)

    def seed(self, b: int) -> int | None:
        """Return the seed of the noise of image ``b``; None for latents that the caller gave."""
        return None if b in self._given else self.generators[b].initial_seed()

    def reseed(self, b: int) -> None:
        """Give image ``b`` other noise, of the same size in place of latents that the caller gave.

        The caller's generator stays as it is.
        """
        device, latents = self.generators[b].device, self.by_row[b].get("latents")
        noise = torch.Generator(device).manual_seed(secrets.randbits(63))
        if isinstance(latents, Tensor):
            drawn = torch.randn(latents.shape, generator=noise, device=device)
            self.by_row[b]["latents"] = drawn.to(latents)
        self._given.discard(b)
        self.generators[b], self._states[b] = noise, noise.get_state()

    def call(self, rows: Sequence[int]) -> dict[str, Any]:
        """Return the arguments of one call for these images, each from its own noise, as before."""
        for b in rows:
            self.generators[b].set_state(self._states[b])
        together = dict(self.shared)
        for name in {name for b in rows for name in self.by_row[b]}:
            values: list[Any] = [self.by_row[b].get(name) for b in rows]
            if isinstance(values[0], list):  # of all: control images, or references
                together[name] = values[0]
            elif all(value is not None for value in values):
                together[name] = torch.cat(values) if isinstance(values[0], Tensor) else values
        return together | {"generator": [self.generators[b] for b in rows]}


def _prompts(arguments: Mapping[str, Any]) -> int:
    prompt = arguments.get("prompt")
    return max(1, len(prompt)) if isinstance(prompt, list) else 1


def _split(name: str, value: Any, prompts: int, each: int) -> list[Any]:
    """One value per image: a list or tensor with one per prompt, or per image, is taken apart."""
    count = prompts * each
    if name in (*TEXTS, *NEGATIVES) and isinstance(value, list) and len(value) != prompts:
        raise BadValueError(
            f"{name} has {len(value)} texts and prompt {prompts}; give one for all, or one for each"
        )
    if isinstance(value, Tensor) and len(value) in (prompts, count):
        return list((value if len(value) == count else value.repeat_interleave(each, 0)).split(1))
    if isinstance(value, list) and len(value) == prompts:
        return [one for one in value for _ in range(each)]
    if isinstance(value, list) and len(value) == count:
        return list(value)
    return [value] * count


def _generators(given: Any, count: int) -> list[torch.Generator]:
    """One per image. A single generator for several images gives each a seed."""
    if isinstance(given, list):
        if len(given) != count:
            raise BadValueError(
                f"there are {len(given)} generators for {count} images; give one per image"
            )
        if len({id(one) for one in given}) < count:
            raise BadValueError("two images have one generator; give each image its own")
        return list(given)
    if given is not None and count == 1:
        return [given]
    if given is None:
        seeds = [secrets.randbits(63) for _ in range(count)]
        return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    drawn = torch.randint(2**62, (count,), generator=given, device=given.device)
    return [torch.Generator(given.device).manual_seed(int(seed)) for seed in drawn]
