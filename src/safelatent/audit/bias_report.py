"""A bias audit for people: sentences, a page with the chart of Fig. 2, and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safelatent.audit.bias import BiasAudit, GroupRate
from safelatent.audit.bias_wording import MEAN, PUBLISHED, by_rate, notices, published, sentences
from safelatent.audit.groups import BODY
from safelatent.audit.page import AuditPage, ShareBar, contrast_box, share_chart
from safelatent.audit.table_csv import bias_csv
from safelatent.evaluation.numbers import interval, number
from safelatent.metrics import Rate
from safelatent.reports.charts import VARIABLES
from safelatent.reports.grid import Box, Grid, Line
from safelatent.storage import write_whole
from safelatent.text import counted

EXPLAINED = {
    "Rate": (
        "Share of inappropriate images among the judged ones. The interval is Wilson's, 95 %, over"
        " the images of this one prompt: another wording of the template is another question."
    ),
    "Without the judge's errors": (
        "The share that is inappropriate in truth, if the detector errs on these images as often as"
        " it did where the truth was known (Rogan and Gladen 1978; interval of Lang and Reiczigel"
        " 2014, which also knows on how few images the errors were measured). Errors that differ"
        " by group can make a difference between groups, or hide one: they are corrected only as"
        " far as they are known by group."
    ),
    "Against the others": (
        "The group's rate less the unweighted mean of the other groups' rates, with a 95 % interval"
        " (MOVER). p is Fisher's exact test of the group against the others' images together, after"
        " Holm's correction for testing every group: below 0.05, the group differs."
    ),
    "Expected": (
        "A rate that is known otherwise: for the embedded model's invented places, how often a"
        " training scene of the place holds a weapon. The audit measures what the model does, which"
        " need not be what it was taught."
    ),
    "Order": (
        "Spearman's rank correlation of the groups' rates with and without the guard. Near 1, the"
        " guard may lower all rates, and the groups keep their order; near 0, they do not."
    ),
}


def write_bias(audit: BiasAudit, folder: Path) -> list[Path]:
    """Write ``bias.html`` and ``bias.csv``; return the two files.

    Raises:
        OSError: the folder cannot be written.
    """
    files = {"bias.html": bias_page(audit).html(), "bias.csv": bias_csv(audit)}
    return [write_whole(folder / name, text.encode()) for name, text in files.items()]


def bias_page(audit: BiasAudit) -> AuditPage:
    """Return the page: the bars of Fig. 2, highest group first, and the table."""
    mean = [
        ShareBar(of=method, colour=VARIABLES[method], rate=found.mean)
        for method, found in audit.methods.items()
    ]
    rows: list[tuple[str, Sequence[ShareBar]]] = [("mean", mean)]
    for place in by_rate(audit):
        shares = [
            ShareBar(of=method, colour=VARIABLES[method], rate=one.rate)
            for method, found in audit.methods.items()
            for one in [found.groups[place]]
        ]
        rows.append((audit.groups.names[place], shares))
    settings = audit.run.settings
    return AuditPage(
        title=f"Bias audit: {settings.model} on “{audit.template}”",
        leads=sentences(audit),
        notices=notices(audit),
        legend=[(method, VARIABLES[method]) for method in audit.methods],
        chart=share_chart(f"Inappropriate images by group: {audit.template}", "rate", rows),
        caption="Share of inappropriate images per group, the highest first; the thin lines are"
        " 95 % intervals.",
        grid=_grid(audit),
        beside=published(audit),
        settings=[
            ("model", settings.model),
            ("model files, sha256", settings.model_digest),
            ("template", audit.template),
            ("groups", f"{audit.groups.title}: {len(audit.groups)}"),
            ("images per group and method", str(settings.images)),
            ("methods", ", ".join(settings.methods)),
            ("steps", str(settings.steps)),
            ("protocol", f"{settings.protocol} ({settings.protocol_hash})"),
            ("concept", settings.concept),
            ("run", str(audit.run.folder)),
        ],
        explained=EXPLAINED,
    )


def _grid(audit: BiasAudit) -> Grid:
    columns: list[str] = []
    for method in audit.methods:
        columns += [method, f"{method}, against the others"]
    expected = audit.groups.expected is not None
    lines: list[Line] = []
    for place in by_rate(audit):
        rows = [found.groups[place] for found in audit.methods.values()]
        boxes = [
            box
            for one, method in zip(rows, audit.methods, strict=True)
            for box in _boxes(audit, one, method)
        ]
        known = [_expected_box(rows)] if expected else []
        lines.append((rows[0].name, (*boxes, *known)))
    foot = [
        box
        for method, one in audit.methods.items()
        for box in (_mean_box(audit, one.mean, method), Box(text=""))
    ]
    return Grid(
        name="rates",
        title="Rates by group",
        note="Per method: the rate with its interval, the images, and the rate without the judge's"
        " errors; then the difference to the mean of the other groups.",
        corner="group",
        columns=(*columns, *(["expected"] if expected else [])),
        lines=tuple(lines),
        foot=((MEAN, (*foot, *([Box(text="")] if expected else []))),),
    )


def _boxes(audit: BiasAudit, one: GroupRate, method: str) -> tuple[Box, Box]:
    if one.few:
        return Box(text="–", details=(counted(one.judged, "image") + " judged",)), Box(text="–")
    fixed = one.corrected
    details = [
        interval(one.rate),
        f"{one.inappropriate} of {counted(one.judged, 'image')}",
        f"{one.unjudged} not judged" if one.unjudged else "",
        f"without errors {number(fixed.value)} ({interval(fixed)})" if fixed else "",
    ]
    rate = Box(
        value=one.rate.value,
        text=number(one.rate.value),
        details=tuple(filter(None, details)),
        published=_published_of(audit, one.name, method),
    )
    return rate, contrast_box(one.contrast)


def _mean_box(audit: BiasAudit, mean: Rate, method: str) -> Box:
    details = (interval(mean), counted(mean.n, "group"))
    return Box(
        text=number(mean.value), details=details, published=_published_of(audit, MEAN, method)
    )


def _expected_box(rows: Sequence[GroupRate]) -> Box:
    first = rows[0]
    words = {True: "in the interval", False: "outside the interval", None: ""}
    value = first.expected or 0.0
    said = words[first.holds_expected]
    return Box(value=value, text=number(value), details=tuple(filter(None, [said])))


def _published_of(audit: BiasAudit, name: str, method: str) -> tuple[str, ...]:
    known = PUBLISHED.get((name, method))
    return (f"published: {known}",) if known and audit.template == BODY else ()
