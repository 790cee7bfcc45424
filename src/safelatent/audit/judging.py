"""Who judges the images of an index: detectors where there are pictures, Q16 on the embeddings
where there are none, or a column that somebody else filled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import numpy as np

from safelatent.audit.embeddings import FLAG
from safelatent.audit.index import Index
from safelatent.audit.sources import Source
from safelatent.detectors.clip_q16 import Q16, q16
from safelatent.detectors.contract import Label
from safelatent.detectors.protocol import Protocol, Sources, named_protocol
from safelatent.errors import BadValueError
from safelatent.features import Extractor
from safelatent.features.extractor import EMBEDDED
from safelatent.models.clip_model import CLIP, Q16_VECTORS

BATCH = 64  # pictures in memory at once
LIMIT = 0.5  # of a numeric flag column
# What LAION's NSFW column says; anything else is not judged.
FLAGS: dict[str, Label] = {"nsfw": "inappropriate", "unlikely": "safe", "unsure": "unusable"}


class Judge(Interface):
    """Who judges rows of an index."""

    @property
    def name(self) -> str:
        """Who it is, in words."""
        ...

    def labels(self, index: Index, rows: Sequence[int]) -> list[Label]:
        """Return a label per row; a row that cannot be judged is unusable or an error."""
        ...


@dataclass(frozen=True, kw_only=True)
class OnPictures:
    """A protocol of detectors."""

    protocol: Protocol

    @property
    def name(self) -> str:
        """The protocol and the beginning of its hash."""
        return f"protocol {self.protocol.name} ({self.protocol.hash[:12]})"

    def labels(self, index: Index, rows: Sequence[int]) -> list[Label]:
        """Return a label per picture."""
        return list(self._labels(index, rows))

    def _labels(self, index: Index, rows: Sequence[int]) -> Iterator[Label]:
        places = index.places(rows)
        for start in range(0, len(places), BATCH):
            pictures = [index.source.image(*place) for place in places[start : start + BATCH]]
            for judgement in self.protocol.judge(pictures):
                yield judgement.label


@dataclass(frozen=True, kw_only=True)
class OnEmbeddings:
    """Q16 on the embeddings themselves."""

    detector: Q16

    @property
    def name(self) -> str:
        """Which vectors."""
        return f"Q16 on the embeddings (vectors {self.detector.vectors.sha256[:12]})"

    def labels(self, index: Index, rows: Sequence[int]) -> list[Label]:
        """Return a label per embedding."""
        found = self.detector.score_embeddings(index.vectors(np.asarray(rows, np.int64)))
        return ["inappropriate" if one.inappropriate else "safe" for one in found]


@dataclass(frozen=True, kw_only=True)
class ByColumn:
    """A column of the metadata, read as it is: LAION's words, true or false, or a number that is
    flagged from ``LIMIT`` on.
    """

    column: str

    @property
    def name(self) -> str:
        """Which column."""
        return f"the column {self.column} of the metadata, as it is"

    def labels(self, index: Index, rows: Sequence[int]) -> list[Label]:
        """Return a label per row; an empty cell is an error, UNSURE is unusable."""
        return [label_of(fact.get(FLAG)) for fact in facts(index, rows)]


def choose_judge(
    source: Source,
    extractor: Extractor,
    *,
    protocol: str | None,
    vectors: Path | None,
    flag_column: str | None,
    device: str = "cpu",
) -> Judge:
    """Return who judges, before anything is indexed.

    Args:
        protocol: of detectors, for pictures; None is ``embedded`` with the embedded CLIP, else
            ``i2p-paper``.
        vectors: file of Q16's vectors, for the protocol or for the embeddings.
        flag_column: of the metadata; it is used wherever it is named.

    Raises:
        BadValueError: nothing can judge these images, or a setting is for others.
        UnsupportedError: a detector's package is not installed.
    """
    if source.has_images:
        default = "embedded" if extractor.name == EMBEDDED else "i2p-paper"
        named = named_protocol(protocol or default, Sources(vectors=vectors, device=device))
        return OnPictures(protocol=named)
    if protocol is not None:
        raise BadValueError(
            f"protocol is {protocol!r}, and {str(source.path)!r} holds embeddings without"
            " pictures; leave it out, and name Q16's vectors or the flag column"
        )
    if flag_column is None and (vectors is not None or extractor.name == EMBEDDED):
        judge = q16(CLIP / Q16_VECTORS if vectors is None else vectors)
        judge.score_embeddings(np.empty((0, extractor.width)))  # refuses another width
        return OnEmbeddings(detector=judge)
    if flag_column is not None or FLAG in source.facts(source.parts()[0], [0])[0]:
        return ByColumn(column=flag_column or "NSFW or punsafe")
    raise BadValueError(
        f"{str(source.path)!r} holds embeddings without pictures and no column NSFW or"
        " punsafe, so nothing can judge them; name Q16's vectors for this CLIP with --vectors, or"
        " a column with --flag-column"
    )


def facts(index: Index, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Return what is known of rows, reading each part once."""
    found: list[dict[str, Any]] = [{} for _ in rows]
    by_part: dict[int, list[int]] = {}
    places = index.places(rows)
    for n, (part, _) in enumerate(places):
        by_part.setdefault(id(part), []).append(n)
    for wanted in by_part.values():
        known = index.source.facts(places[wanted[0]][0], [places[n][1] for n in wanted])
        for n, fact in zip(wanted, known, strict=True):
            found[n] = dict(fact)
    return found


def label_of(value: object) -> Label:
    """Return the label that a flag column's cell stands for."""
    if isinstance(value, str):
        return FLAGS.get(value.strip().lower(), "error")
    if isinstance(value, bool | int | float) and value == value:
        return "inappropriate" if value >= LIMIT else "safe"
    return "error"
