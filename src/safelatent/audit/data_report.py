"""A data audit for people: sentences, a table for a terminal, a page and CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from safelatent.audit.bias_wording import LEVEL, MEAN, share
from safelatent.audit.data import DataAudit, GroupShare
from safelatent.audit.judged_group import FEWEST, highest
from safelatent.audit.page import AuditPage, ShareBar, contrast_box, share_chart
from safelatent.audit.table_csv import data_csv, hits_csv
from safelatent.evaluation.numbers import interval, number, p_value, percent
from safelatent.reports.charts import VARIABLES
from safelatent.reports.grid import Box, Grid
from safelatent.storage import write_whole
from safelatent.text import counted

_COLOUR = VARIABLES["strong"]
_ENOUGH = 0.95  # recall by lists
PUBLISHED = (
    "Published for LAION (Schramowski et al., CVPR 2023): of the 100 images nearest to “japanese"
    " body”, 90 % were flagged, and 22 % in the mean over the countries. Another data set, another"
    " CLIP or another detector measures something else."
)
EXPLAINED = {
    "ShareBar": (
        "Of the nearest images of the group's query that could be judged, how many are flagged. The"
        " interval is Wilson's, 95 %: these images taken as a sample of what the data hold near"
        " the query."
    ),
    "Nearest": (
        "By the cosine of CLIP's embeddings of the query and of each image. What is near a text is"
        " CLIP's judgement, with CLIP's own bias; an image that does not show its group cannot be"
        " found by it."
    ),
    "Against the others": (
        "The group's share less the unweighted mean of the others', with a 95 % interval (MOVER);"
        " p is Fisher's exact test after Holm's correction for testing every group. An image may"
        " be near several queries, so the groups are not quite independent."
    ),
    "Flagged": (
        "By detectors where there are pictures, by Q16 on the embeddings where there are none, or"
        " by a column of the data as somebody else filled it. What cannot be judged is in no"
        " share, and is counted."
    ),
}


def write_data(audit: DataAudit, folder: Path) -> list[Path]:
    """Write ``data.html``, ``data.csv`` and ``hits.csv``; return the three files.

    Raises:
        OSError: the folder cannot be written.
    """
    files = {
        "data.html": data_page(audit).html(),
        "data.csv": data_csv(audit),
        "hits.csv": hits_csv(audit),
    }
    return [
        write_whole(folder / name, text.encode("utf-8", "backslashreplace"))
        for name, text in files.items()
    ]


def sentences(audit: DataAudit) -> list[str]:
    """Say what came out."""
    known = [one for one in audit.groups if not one.few]
    named = ", ".join(f"{one.name} {number(one.rate.value)}" for one in highest(known))
    most = f"highest: {named}" if named else "no image is flagged"
    lines = [f"Mean {share(audit.mean)}; {most}." if known else "Nothing was judged."]
    above = [
        one.name
        for one in sorted(known, key=lambda one: -one.rate.value)
        if one.contrast.adjusted < LEVEL and one.contrast.difference > 0
    ]
    if above:
        lines.append(f"Above the mean of the others (p < {LEVEL} after Holm): {', '.join(above)}.")
    expected = [one for one in known if one.holds_expected is not None]
    if expected:
        inside = sum(one.holds_expected or False for one in expected)
        lines.append(f"{inside} of {len(expected)} expected shares lie in the interval.")
    if audit.order is not None:
        o = audit.order
        said = "undefined" if math.isnan(o.rho) else f"{o.rho:.2f} ({o.low:.2f} to {o.high:.2f})"
        lines.append(f"Rank correlation with the model's unguarded rates: {said}, {o.n} groups.")
    return lines


def notices(audit: DataAudit) -> list[str]:
    """Say what speaks against the numbers."""
    lines: list[str] = []
    if audit.left_out:
        verb = "is" if audit.left_out == 1 else "are"
        lines.append(f"{counted(audit.left_out, 'row')} of the data {verb} broken and left out.")
    unjudged = sum(one.unjudged for one in audit.groups)
    if unjudged:
        total = len(audit.groups) * audit.nearest
        lines.append(
            f"{unjudged:,} of {total:,} nearest images could not be judged ({audit.judge}) and are"
            " in no share."
        )
    few = [one.name for one in audit.groups if one.few]
    if few:
        lines.append(f"fewer than {FEWEST} judged images of {', '.join(few)}; no share for them.")
    if audit.recall is not None:
        mark = "" if audit.recall >= _ENOUGH else " That is little; give --search exact."
        lines.append(
            f"searched by lists, which found {percent(audit.recall)} of the nearest images of the"
            f" first queries.{mark}"
        )
    return lines


def table_lines(audit: DataAudit) -> Iterator[str]:
    """Yield the table for a terminal, the highest share first."""
    wide = max(len(MEAN), *(len(one.name) for one in audit.groups))
    expected = any(one.expected is not None for one in audit.groups)
    last = "  expected" if expected else ""
    yield f"{'group':{wide}s}  {'share':>6s} {'interval':>12s} {'p':>7s}  {'cosines':>15s}{last}"
    for one in _by_share(audit):
        few = one.few
        numbers = (
            f"{'–' if few else number(one.rate.value):>6s} {'' if few else interval(one.rate):>12s}"
        )
        p = "" if few else p_value(one.contrast.adjusted)
        cosines = f"{one.cosines[0]:.3f} to {one.cosines[1]:.3f}"
        known = f"  {number(one.expected):>8s}" if one.expected is not None else ""
        yield f"{one.name:{wide}s}  {numbers} {p:>7s}  {cosines:>15s}{known}"
    yield f"{MEAN:{wide}s}  {number(audit.mean.value):>6s} {interval(audit.mean):>12s}"


def data_page(audit: DataAudit) -> AuditPage:
    """Return the page: a bar per group, highest first, and the table."""
    rows: list[tuple[str, Sequence[ShareBar]]] = [
        ("mean", [ShareBar(of="share", colour=_COLOUR, rate=audit.mean)])
    ]
    rows += [
        (
            one.name,
            [ShareBar(of="share", colour=_COLOUR, rate=one.rate)],
        )
        for one in _by_share(audit)
    ]
    source = Path(audit.source).name or audit.source
    return AuditPage(
        title=f"Data audit: {source} near “{audit.template}”",
        leads=sentences(audit),
        notices=notices(audit),
        legend=[("flagged", _COLOUR)],
        chart=share_chart(f"Flagged images near: {audit.template}", "share flagged", rows),
        caption=f"Share flagged of the {audit.nearest} images nearest to each group's query, the"
        " highest first; the thin lines are 95 % intervals.",
        grid=_grid(audit),
        beside=[PUBLISHED],
        settings=[
            ("data", audit.source),
            ("images", f"{audit.rows:,}, {audit.left_out:,} left out"),
            ("queries", f"{audit.template}: {len(audit.groups)}"),
            ("nearest images per query", str(audit.nearest)),
            ("CLIP", f"{audit.features[0]} ({audit.features[1]})"),
            ("judged by", audit.judge),
            ("search", "exact" if audit.recall is None else "by lists"),
        ],
        explained=EXPLAINED,
    )


def _grid(audit: DataAudit) -> Grid:
    expected = any(one.expected is not None for one in audit.groups)
    return Grid(
        name="shares",
        title="Shares by group",
        note="The share with its interval and images; the difference to the mean of the other"
        " groups; the cosines of the nearest image and of the last.",
        corner="group",
        columns=("share", "against the others", "cosines", *(["expected"] if expected else [])),
        lines=tuple((one.name, _boxes(one, expected)) for one in _by_share(audit)),
        foot=(
            (
                MEAN,
                (
                    Box(text=number(audit.mean.value), details=(interval(audit.mean),)),
                    *[Box(text="")] * (3 if expected else 2),
                ),
            ),
        ),
    )


def _boxes(one: GroupShare, expected: bool) -> tuple[Box, ...]:
    few = one.few
    details = (
        "" if few else interval(one.rate),
        f"{one.inappropriate} of {counted(one.judged, 'image')}",
        f"{one.unjudged} not judged" if one.unjudged else "",
    )
    boxes = [
        Box(
            value=math.nan if few else one.rate.value,
            text="–" if few else number(one.rate.value),
            details=tuple(filter(None, details)),
        ),
        Box(text="–") if few else contrast_box(one.contrast),
        Box(value=one.cosines[0], text=f"{one.cosines[0]:.3f}", details=(f"{one.cosines[1]:.3f}",)),
    ]
    if expected:
        words = {True: "in the interval", False: "outside the interval", None: ""}
        boxes.append(
            Box(
                value=math.nan if one.expected is None else one.expected,
                text="" if one.expected is None else number(one.expected),
                details=tuple(filter(None, [words[one.holds_expected]])),
            )
        )
    return tuple(boxes)


def _by_share(audit: DataAudit) -> list[GroupShare]:
    return sorted(
        audit.groups,
        key=lambda one: (one.few, 0.0 if one.few else -one.rate.value),
    )
