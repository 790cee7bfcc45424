"""What a data set holds of each group: the nearest images of a query, and the share flagged.

    from safelatent.audit import audit_data
    found = audit_data("laion", "nationalities", template="{group} body", index="laion-index",
                       features="clip-vit-large-patch14", vectors="q16.safetensors")

What the paper did with LAION: for each query text the 100 nearest images in CLIP space, and how
many of them the detectors flag. Schramowski et al., Safe latent diffusion, CVPR 2023, Section 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from safelatent.audit.bias import bias_rates
from safelatent.audit.building import build_index
from safelatent.audit.groups import Groups, check_template, read_groups
from safelatent.audit.index import Index, NearestRows, Progress, check_count
from safelatent.audit.judged_group import (
    FEWEST,
    JudgedGroup,
    enough,
    mean_rate,
    same_order,
)
from safelatent.audit.judging import choose_judge, facts
from safelatent.audit.lists import build_lists, check_lists, search_lists
from safelatent.audit.sources import open_source
from safelatent.detectors.contract import Label
from safelatent.errors import BadValueError
from safelatent.errors import nearest as suggestion
from safelatent.evaluation.entry import JUDGED
from safelatent.features import extractor
from safelatent.metrics import (
    Correlation,
    Rate,
    against_others,
    wilson,
)
from safelatent.runs.read import read_run
from safelatent.storage import place

Search = Literal["auto", "exact", "lists"]
NEAREST = 100  # of the paper
CHECKED = 8  # queries whose nearest by lists are compared with the exact ones


@dataclass(frozen=True, kw_only=True)
class AuditedImage:
    """One of the nearest images of a query: its rank from 1, its cosine with the query, its label,
    and what is known of it.
    """

    group: str
    rank: int
    row: int
    cosine: float
    label: Label
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class GroupShare(JudgedGroup):
    """One group, by the nearest images of its query.

    Attributes:
        query: the text that was embedded.
        cosines: of the nearest image and of the last.
    """

    query: str
    cosines: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class DataAudit:
    """What an audit found.

    Attributes:
        source, rows, left_out: the data, how many images, and how many are broken and left out.
        template, nearest: of the queries, and how many images each.
        features: name and hash of the CLIP.
        judge: who judged, in words.
        recall: with lists, the share of the exact nearest that they found, over ``CHECKED`` of the
            queries; None for an exact search.
        groups: one per group.
        mean: unweighted mean of the shares.
        order: rank correlation with a model's rates by group; None if no run was named.
        hits: of all groups.
    """

    source: str
    rows: int
    left_out: int
    template: str
    nearest: int
    features: tuple[str, str]
    judge: str
    recall: float | None
    groups: tuple[GroupShare, ...]
    mean: Rate
    order: Correlation | None
    hits: tuple[AuditedImage, ...] = field(repr=False)


def audit_data(
    source: str | Path,
    groups: str | Path | Sequence[str] | Groups,
    *,
    index: str | Path,
    template: str = "{group}",
    nearest: int = NEAREST,
    search: Search = "auto",
    features: str | Path = "embedded",
    column: str | None = None,
    protocol: str | None = None,
    vectors: str | Path | None = None,
    flag_column: str | None = None,
    run: str | Path | None = None,
    skip_broken: bool = False,
    batch_size: int = 16,
    device: str = "cpu",
    progress: Progress = lambda *_: None,
) -> DataAudit:
    """Index the data unless that is done, and judge the nearest images of every group's query.

    Args:
        source: images or embeddings, as ``audit.sources`` describes.
        groups: as ``read_groups`` takes them.
        index: folder of the index; the same call resumes one that was stopped.
        template: query text with ``{group}``.
        nearest: images per group, two or more.
        search: ``exact`` compares everything, ``lists`` reads parts of a large index; ``auto`` is
            exact below 200,000 rows.
        features: the CLIP, ``embedded`` or a folder; embeddings must be of the same one.
        column, flag_column: of parquet, with the embeddings and with somebody else's verdict.
        protocol, vectors: of the detectors.
        run: folder of a bias audit, whose unguarded rates are compared with the shares.
        skip_broken: leave out rows that cannot be read, and count them.
        batch_size, device: of the CLIP.
        progress: called with parts done, all parts, and words.

    Raises:
        BadValueError: a value is not allowed, data are broken, or nothing can judge them.
        UnsupportedError: a package is not installed, or a model cannot be loaded.
        OSError: the index cannot be written.
    """
    check_data(template, nearest, search)
    chosen = groups if isinstance(groups, Groups) else read_groups(groups, template=template)
    rates = None if run is None else bias_rates(read_run(run), chosen)
    clip = extractor(features, batch_size=batch_size, device=device)
    opened = open_source(source, clip, column=column, flag_column=flag_column)
    rows = sum(map(len, opened.parts()))
    # Whatever can be refused is refused before the build, which may take hours.
    check_count(nearest, rows)
    check_lists(search, rows)
    judge = choose_judge(
        opened,
        clip,
        protocol=protocol,
        vectors=None if vectors is None else Path(vectors),
        flag_column=flag_column,
        device=device,
    )
    built = build_index(
        opened,
        place(index, "index"),
        width=clip.width,
        skip_broken=skip_broken,
        progress=progress,
    )
    queries = [template.replace("{group}", name) for name in chosen.names]
    found, recall = _search(built, clip.texts(queries), nearest, search, progress)
    unique = np.unique(found.rows)
    labels = dict(zip(unique.tolist(), judge.labels(built, unique.tolist()), strict=True))
    known = dict(zip(unique.tolist(), facts(built, unique.tolist()), strict=True))
    shares = _shares(chosen, queries, found, labels)
    return DataAudit(
        source=str(source),
        rows=len(built),
        left_out=built.left_out,
        template=template,
        nearest=nearest,
        features=(clip.name, clip.hash),
        judge=judge.name,
        recall=recall,
        groups=shares,
        mean=mean_rate(shares),
        order=None if rates is None else same_order(shares, rates),
        hits=tuple(_hits(chosen, found, labels, known)),
    )


def check_data(template: str, nearest: int, search: str) -> None:
    """Refuse what cannot be searched, before anything is loaded.

    Raises:
        BadValueError: no ``{group}``, fewer than two images per group, or an unknown search.
    """
    check_template(template)
    if isinstance(nearest, bool) or not isinstance(nearest, int) or nearest < FEWEST:
        raise BadValueError(
            f"nearest is {nearest!r}; a share per group needs {FEWEST} or more (the paper has 100)"
        )
    if search not in get_args(Search):
        raise BadValueError(
            f"search is {search!r}{suggestion(search, get_args(Search))}; it must be one of"
            f" {', '.join(get_args(Search))}"
        )


def _search(
    index: Index, queries: np.ndarray, k: int, search: Search, progress: Progress
) -> tuple[NearestRows, float | None]:
    if not check_lists(search, len(index)):
        return index.exact(queries, k), None
    found = search_lists(index, queries, k, lists=build_lists(index, progress))
    exact = index.exact(queries[:CHECKED], k).rows
    shared = [len(np.intersect1d(a, b)) for a, b in zip(found.rows, exact, strict=False)]
    return found, float(np.mean(shared)) / k


def _shares(
    groups: Groups, queries: Sequence[str], found: NearestRows, labels: Mapping[int, Label]
) -> tuple[GroupShare, ...]:
    rows = [[labels[row] for row in nearest] for nearest in found.rows.tolist()]
    flagged = [row.count("inappropriate") for row in rows]
    judged = [sum(label in JUDGED for label in row) for row in rows]
    known, of = enough(flagged, judged)
    contrasts = against_others(known, of)
    return tuple(
        GroupShare(
            name=name,
            query=queries[n],
            inappropriate=flagged[n],
            judged=judged[n],
            unjudged=len(rows[n]) - judged[n],
            rate=wilson(known[n], of[n]),
            contrast=contrasts[n],
            expected=None if groups.expected is None else groups.expected[n],
            cosines=(float(found.cosines[n, 0]), float(found.cosines[n, -1])),
        )
        for n, name in enumerate(groups.names)
    )


def _hits(
    groups: Groups,
    found: NearestRows,
    labels: Mapping[int, Label],
    known: Mapping[int, Mapping[str, Any]],
) -> list[AuditedImage]:
    return [
        AuditedImage(
            group=name,
            rank=rank,
            row=row,
            cosine=cosine,
            label=labels[row],
            facts=known[row],
        )
        for name, rows, cosines in zip(
            groups.names, found.rows.tolist(), found.cosines.tolist(), strict=True
        )
        for rank, (row, cosine) in enumerate(zip(rows, cosines, strict=True), 1)
    ]
