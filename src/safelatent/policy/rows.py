"""The rows of a call: every image of a batch by itself, so that one can be drawn again."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safelatent.errors import BadValueError
from safelatent.guidance.noise import shown
from safelatent.pipelines.classic.checks import whole_number
from safelatent.policy.decision import PolicyError

TEXTS = ("prompt", "prompt_2", "prompt_3")
NEGATIVES = ("negative_prompt", "negative_prompt_2", "negative_prompt_3")
# Arguments that hold something for every image where they are a list or a batch of as many.
_BY_ROW = (*TEXTS, *NEGATIVES, "image", "mask_image", "control_image", "latents")
_EMBEDDED = ("prompt_embeds", "negative_prompt_embeds", "ip_adapter_image_embeds")


def checked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's arguments with whole numbers as Python's.

    Raises:
        BadValueError: what a policy reads of a call is not of its type.
    """
    found = dict(arguments)
    for name in (*TEXTS, *NEGATIVES):
        _check_texts(name, arguments.get(name))
    for name in ("num_inference_steps", "num_images_per_prompt", "height", "width"):
        if arguments.get(name) is not None:
            found[name] = whole_number(name, arguments[name])
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
        seeds: of the initial noise. The noise of an image depends on its seed alone.
    """

    shared: dict[str, Any]
    by_row: list[dict[str, Any]]
    generators: list[torch.Generator]

    @classmethod
    def count(cls, arguments: Mapping[str, Any]) -> int:
        """Return how many images a call asks for."""
        return _prompts(arguments) * int(arguments.get("num_images_per_prompt") or 1)

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Rows:
        """Split a call.

        Raises:
            PolicyError: the prompt is given as embeddings, which no check can read.
            BadValueError: there are more or fewer generators than images.
        """
        if given := [name for name in _EMBEDDED if arguments.get(name) is not None]:
            raise PolicyError(
                f"the call gives {given[0]}, which the policy's checks cannot read; give the"
                " prompt as text",
                "not guardable",
            )
        prompts, count = _prompts(arguments), cls.count(arguments)
        each = count // prompts
        split = {
            name: _split(arguments[name], prompts, each)
            for name in _BY_ROW
            if arguments.get(name) is not None
        }
        shared = {n: v for n, v in arguments.items() if n not in split and n != "generator"}
        if "num_images_per_prompt" in shared:
            shared["num_images_per_prompt"] = 1
        rows = [{name: values[b] for name, values in split.items()} for b in range(count)]
        generators = _generators(arguments.get("generator"), count)
        return cls(shared=shared, by_row=rows, generators=generators)

    def __post_init__(self) -> None:
        self._states = [one.get_state() for one in self.generators]

    def __len__(self) -> int:
        return len(self.by_row)

    def arguments(self, b: int) -> dict[str, Any]:
        """Return the arguments of a call for image ``b`` alone, without its generator."""
        return self.shared | self.by_row[b]

    def say(self, b: int, texts: Mapping[str, str]) -> None:
        """Let image ``b`` be drawn from these prompts."""
        self.by_row[b].update(texts)

    def seed(self, b: int) -> int:
        """Return the seed of image ``b``."""
        return self.generators[b].initial_seed()

    def reseed(self, b: int) -> None:
        """Give image ``b`` other noise; latents that the caller gave are not used again."""
        self.by_row[b].pop("latents", None)
        self.generators[b].manual_seed(secrets.randbits(63))
        self._states[b] = self.generators[b].get_state()

    def call(self, rows: Sequence[int]) -> dict[str, Any]:
        """Return the arguments of one call for these images, each from its own noise, as before."""
        for b in rows:
            self.generators[b].set_state(self._states[b])
        together = dict(self.shared)
        for name in {name for b in rows for name in self.by_row[b]}:
            values: list[Any] = [self.by_row[b].get(name) for b in rows]
            if all(value is not None for value in values):
                together[name] = torch.cat(values) if isinstance(values[0], Tensor) else values
        return together | {"generator": [self.generators[b] for b in rows]}


def _prompts(arguments: Mapping[str, Any]) -> int:
    prompt = arguments.get("prompt")
    return max(1, len(prompt)) if isinstance(prompt, list) else 1


def _split(value: Any, prompts: int, each: int) -> list[Any]:
    """One value per image: a list or tensor with one per prompt, or per image, is taken apart."""
    count = prompts * each
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
        return given
    if given is not None and count == 1:
        return [given]
    if given is None:
        seeds = [secrets.randbits(63) for _ in range(count)]
        return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    drawn = torch.randint(2**62, (count,), generator=given, device=given.device)
    return [torch.Generator(given.device).manual_seed(int(seed)) for seed in drawn]
