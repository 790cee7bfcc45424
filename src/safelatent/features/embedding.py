"""What computes features, a part at a time: here, or wherever an engine takes the parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from safelatent.errors import BadValueError
from safelatent.features.pictures import Picture, open_picture

Features = NDArray[np.float32]
Group = tuple[Picture, ...]  # what one row of features is computed from
Opened = tuple[Image.Image, ...]


class Embedder(Protocol):
    """What computes features: a CLIP, the Inception network, a distance of two pictures.

    Attributes:
        name: what it was loaded from.
        hash: of everything that its numbers depend on.
        width: D, number of values per row.
    """

    @property
    def name(self) -> str: ...
    @property
    def hash(self) -> str: ...
    @property
    def width(self) -> int: ...
    def loader(self) -> Callable[[], Embedder]:
        """Return what loads the same again, in another process."""
        ...

    def rows(self, groups: Sequence[Opened]) -> Features:
        """Return one row (D,) per group of RGB pictures, together (N, D)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is computed and written together: the groups, and a digest of each."""

    names: tuple[str, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Computed:
    """A part's rows (K, D); NaN for those that ``broken`` says are none, with the reason."""

    part: Part
    rows: Features
    broken: dict[int, str]


# Computes the parts, here or elsewhere, in any order.
Engine = Callable[[Iterable[Part]], Iterable[Computed]]


def here(embedder: Embedder) -> Engine:
    """Return what computes the parts in this process."""
    return lambda parts: (compute(embedder, part) for part in parts)


def compute(embedder: Embedder, part: Part) -> Computed:
    """Open and embed a part. What cannot be opened, or has features that are not finite, is named
    and does not spoil the others.
    """
    opened: dict[int, Opened] = {}
    broken: dict[int, str] = {}
    for place, group in enumerate(part.groups):
        try:
            opened[place] = tuple(open_picture(picture) for picture in group)
        except BadValueError as error:
            broken[place] = str(error)
    rows = np.full((len(part.groups), embedder.width), np.nan, dtype=np.float32)
    if opened:
        rows[list(opened)] = embedder.rows(list(opened.values()))
    for place in opened:
        if not np.isfinite(rows[place]).all():
            broken[place] = (
                f"the features of {str(part.groups[place][0])!r} by {embedder.name!r} hold NaN or"
                " infinity; the model's numbers overflowed, so use it in single precision"
            )
    return Computed(part=part, rows=rows, broken=broken)
