"""The work of a run, item by item, each with a key of everything that determines its image. Pure:
the same settings, the same plan.

Images are drawn in batches whose composition the plan fixes: a batch is done as a whole or not at
all, so that a resumed run draws the very batches of an uninterrupted one, and its numbers are the
same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice

from safelatent.concepts import Concept
from safelatent.generation.methods import method_settings
from safelatent.hashing import digest
from safelatent.prompts import Prompt
from safelatent.runs.settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image: the ``image``-th of a prompt, by one method. ``key`` hashes everything that
    determines it.
    """

    prompt: Prompt
    image: int
    method: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Items of one call: one method, one size (None: the model's own) and one guidance scale."""

    items: tuple[Item, ...]
    method: str
    width: int | None
    height: int | None
    guidance_scale: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every batch of a run, in order. The methods of the same prompts and noise follow one another,
    unguarded first.
    """

    settings: RunSettings
    prompts: Sequence[Prompt]

    def __len__(self) -> int:
        """Images in all."""
        return len(self.prompts) * self.settings.images * len(self.settings.methods)

    def __iter__(self) -> Iterator[Batch]:
        size = self.settings.batch
        ordered = sorted(
            self.prompts, key=self._call
        )  # stable: within one kind of call the set's own order
        for (width, height, scale), prompts in groupby(ordered, key=self._call):
            for pairs in _parts(
                ((prompt, n) for prompt in prompts for n in range(self.settings.images)), size
            ):
                for method in self.settings.methods:
                    items = tuple(self._item(prompt, n, method) for prompt, n in pairs)
                    yield Batch(
                        items=items,
                        method=method,
                        width=width or None,
                        height=height or None,
                        guidance_scale=scale,
                    )

    def _call(self, prompt: Prompt) -> tuple[int, int, float]:
        """What prompts of one call share: width and height (0: the model's own) and guidance scale."""
        scale = (
            prompt.guidance_scale
            if self.settings.guidance_scale is None
            else self.settings.guidance_scale
        )
        if self.settings.size == "model":
            return 0, 0, float(scale)
        return prompt.width or 0, prompt.height or 0, float(scale)

    def _item(self, prompt: Prompt, n: int, method: str) -> Item:
        width, height, scale = self._call(prompt)
        image = {
            "id": prompt.id,
            "prompt": prompt.text,
            "seed": prompt.seed,
            "image": n,
            "width": width,
            "height": height,
        }
        key = digest(
            self._shared | image | {"guidance_scale": scale} | self._method_settings[method]
        )
        return Item(prompt=prompt, image=n, method=method, key=key)

    @cached_property
    def _shared(self) -> dict[str, object]:
        s = self.settings
        return {
            "model": s.model_digest,
            "dtype": s.dtype,
            "device": s.device,
            "scheduler": dict(s.scheduler),
            "steps": s.steps,
        }

    @cached_property
    def _method_settings(self) -> dict[str, dict[str, object]]:
        return {
            method: method_settings(method, Concept.parse(self.settings.concept))
            for method in self.settings.methods
        }


def _parts(
    pairs: Iterable[tuple[Prompt, int]], size: int
) -> Iterator[tuple[tuple[Prompt, int], ...]]:
    """``size`` of them at a time; never all at once."""
    left = iter(pairs)
    while part := tuple(islice(left, size)):
        yield part
