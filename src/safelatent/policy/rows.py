"""The rows of a call: every image of a batch by itself, so that one can be drawn again."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safelatent.errors import BadValueError
from safelatent.policy.arguments import COUNTS, NEGATIVES, TEXTS

# Arguments that hold something for every image where they are a list or a batch of as many.
_BY_ROW = (*TEXTS, *NEGATIVES, "image", "mask_image", "control_image", "latents")


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
        return _prompts(arguments) * next((arguments[n] for n in COUNTS if arguments.get(n)), 1)

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
        shared |= {name: 1 for name in COUNTS if name in shared}
        rows = [{name: values[b] for name, values in split.items()} for b in range(count)]
        generators = _generators(arguments.get("generator"), count)
        return cls(shared=shared, by_row=rows, generators=generators)

    def __post_init__(self) -> None:
        self._states = [one.get_state() for one in self.generators]
        self._seeds = [
            _fresh_seed(one) if row.get("latents") is None else None
            for one, row in zip(self.generators, self.by_row, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.by_row)

    def arguments(self, b: int) -> dict[str, Any]:
        """Return the arguments of a call for image ``b`` alone, without its generator."""
        return self.shared | self.by_row[b]

    def say(self, b: int, texts: Mapping[str, str]) -> None:
        """Let image ``b`` be drawn from these prompts."""
        self.by_row[b].update(texts)

    def seed(self, b: int) -> int | None:
        """Return the seed of the noise of image ``b``; None for latents that the caller gave, and
        for a generator that has drawn before: its seed alone would draw another image.
        """
        return self._seeds[b]

    def reseed(self, b: int) -> None:
        """Give image ``b`` other noise, of the same size in place of latents that the caller gave.

        The caller's generator stays as it is.
        """
        device, latents = self.generators[b].device, self.by_row[b].get("latents")
        noise = torch.Generator(device).manual_seed(secrets.randbits(63))
        if isinstance(latents, Tensor):
            drawn = torch.randn(latents.shape, generator=noise, device=device)
            self.by_row[b]["latents"] = drawn.to(latents)
        self._seeds[b] = noise.initial_seed()
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


def _fresh_seed(generator: torch.Generator) -> int | None:
    """Return the seed of a generator that nothing was drawn from yet, else None."""
    fresh = torch.Generator(generator.device).manual_seed(generator.initial_seed())
    same = torch.equal(fresh.get_state(), generator.get_state())
    return generator.initial_seed() if same else None


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
