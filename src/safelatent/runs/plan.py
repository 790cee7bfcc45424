"""The work of a run, item by item, each with a key of everything that determines its image. Pure:
the same settings and the same history of growth give the same plan.

Images are drawn in batches whose composition the plan fixes: a batch is done as a whole or not at
all, so that a resumed run draws exactly the batches of an uninterrupted one, and its numbers are
the same to the last bit.

A run grows: more prompts, more images per prompt, more methods. Every growth adds an ``Extent``
whose batches follow those of the earlier ones, which stay as they are. So what is drawn follows
from the sequence of commands alone, whenever each of them was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice

from safelatent.concepts import Concept
from safelatent.errors import BadValueError
from safelatent.generation.methods import ALL_METHODS, Method, method_settings
from safelatent.hashing import digest_with
from safelatent.prompts import Prompt, PromptSet
from safelatent.runs.settings import RunSettings

# What of an item's key is its own; the rest is the method's or the run's.
OWN = ("id", "prompt", "seed", "image", "width", "height", "guidance_scale")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image: the ``image``-th of a prompt, by one method. ``key`` hashes everything that
    determines it.
    """

    prompt: Prompt
    image: int
    method: Method
    key: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Items of one call: one method, one size (None: the model's own) and one guidance scale."""

    items: tuple[Item, ...]
    method: Method
    width: int | None
    height: int | None
    guidance_scale: float


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How far a run reaches: the first ``prompts`` prompts, ``images`` images of each, by each of
    ``methods``.
    """

    prompts: int = 0
    images: int = 0
    methods: tuple[Method, ...] = ()

    def __post_init__(self) -> None:
        for name in ("prompts", "images"):
            if type(value := getattr(self, name)) is not int or value < 0:
                raise BadValueError(f"{name} is {value!r}; it must be a whole number")
        if not set(self.methods) <= set(ALL_METHODS):
            raise BadValueError(f"methods is {self.methods!r}; they must be of {ALL_METHODS}")

    def __len__(self) -> int:
        """Images in all."""
        return self.prompts * self.images * len(self.methods)

    def covers(self, other: Extent) -> bool:
        """Whether every image of ``other`` is one of this extent."""
        return (
            self.prompts >= other.prompts
            and self.images >= other.images
            and set(self.methods) >= set(other.methods)
        )


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Every batch of a run, in order. The methods of the same prompts and noise follow one another,
    unguarded first.

    Attributes:
        settings: of the run as it is now.
        prompts: of the run, those of the earlier extents first.
        earlier: how far the run reached before each growth, the first first.
    """

    settings: RunSettings
    prompts: PromptSet
    earlier: tuple[Extent, ...] = ()

    def __len__(self) -> int:
        """Images in all."""
        return len(self.extent)

    @property
    def extent(self) -> Extent:
        """How far the run reaches now."""
        s = self.settings
        return Extent(prompts=len(self.prompts), images=s.images, methods=s.methods)

    def __iter__(self) -> Iterator[Batch]:
        before = Extent()
        for extent in (*self.earlier, self.extent):
            new: list[Method] = [name for name in extent.methods if name not in before.methods]
            yield from self._batches(before.prompts, [(0, before.images)] * before.prompts, new)
            spans = [(before.images, extent.images)] * before.prompts
            spans += [(0, extent.images)] * (extent.prompts - before.prompts)
            yield from self._batches(extent.prompts, spans, extent.methods)
            before = extent

    def _batches(
        self, prompts: int, spans: Sequence[tuple[int, int]], methods: Sequence[Method]
    ) -> Iterator[Batch]:
        """Batches of the images from ``first`` to before ``end`` (the prompt's span) by methods."""
        if not methods:
            return
        order = sorted(range(prompts), key=lambda n: self._call(self.prompts[n]))  # stable
        for (width, height, scale), group in groupby(
            order, key=lambda n: self._call(self.prompts[n])
        ):
            pairs = ((self.prompts[n], image) for n in group for image in range(*spans[n]))
            for part in _parts(pairs, self.settings.batch_size):
                for method in methods:
                    yield Batch(
                        items=tuple(self._item(prompt, n, method) for prompt, n in part),
                        method=method,
                        width=width or None,
                        height=height or None,
                        guidance_scale=scale,
                    )

    def _call(self, prompt: Prompt) -> tuple[int, int, float]:
        """What prompts of one call share: width, height (0: the model's own), guidance scale."""
        own = self.settings.guidance_scale
        scale = float(prompt.guidance_scale if own is None else own)
        if self.settings.size == "model":
            return 0, 0, scale
        return prompt.width or 0, prompt.height or 0, scale

    def _item(self, prompt: Prompt, n: int, method: Method) -> Item:
        own = (prompt.id, prompt.text, prompt.seed, n, *self._call(prompt))
        key = self._key_of[method](dict(zip(OWN, own, strict=True)))
        return Item(prompt=prompt, image=n, method=method, key=key)

    @cached_property
    def _key_of(self) -> dict[Method, Callable[[Mapping[str, object]], str]]:
        """By method, the key of an item from what is the item's own."""
        s, concept = self.settings, Concept.parse(self.settings.concept)
        shared = {
            "model": s.model_digest,
            "variant": s.variant,
            "dtype": s.dtype,
            "device": s.device,
            "scheduler": dict(s.scheduler),
            "steps": s.steps,
        }
        return {
            name: digest_with(shared | method_settings(name, concept, s.plan), OWN)
            for name in ALL_METHODS
        }


def _parts(
    pairs: Iterable[tuple[Prompt, int]], size: int
) -> Iterator[tuple[tuple[Prompt, int], ...]]:
    """``size`` of them at a time; never all at once."""
    left = iter(pairs)
    while part := tuple(islice(left, size)):
        yield part
