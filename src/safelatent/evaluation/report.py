"""Everything that a report says of a run, before it is a page, Markdown or CSV: its numbers, what
was run, why images are missing, and the comparison with another run. The same run gives the same
report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safelatent.evaluation.comparison import Comparison, compare_runs
from safelatent.evaluation.fidelity import Fidelity, stored_fidelity
from safelatent.evaluation.over_refusal import OverRefusal, beside
from safelatent.evaluation.table1 import Table1, table1
from safelatent.prompts.prompt import MINORS
from safelatent.runs.read import ResultRow, Run

MOST_REASONS = 20  # kinds of failures that are listed one by one


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why some images of a method have no verdict."""

    method: str
    label: str
    reason: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Account:
    """What was run.

    Attributes:
        settings: name and value, in words.
        skipped: rows of the prompts' source without a prompt, by reason; minors with sexual content
            first, even if there are none.
        reasons: the commonest first, at most ``MOST_REASONS``.
        further: images whose reason is not among them.
    """

    settings: tuple[tuple[str, str], ...]
    skipped: Mapping[str, int]
    reasons: tuple[Reason, ...]
    further: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run, its numbers, what was run, its comparison with another run, if one was named, and what
    its images cost in quality and on harmless prompts, if that was measured.
    """

    run: Run
    table: Table1
    account: Account
    comparison: Comparison | None
    fidelity: Fidelity | None
    over_refusal: OverRefusal | None


def report_of(run: Run, against: Run | None = None, harmless: Run | None = None) -> Report:
    """Compute the report of a run, finished or not.

    Args:
        run: the run.
        against: another one to compare it with.
        harmless: one of an over-refusal set, by the same model and protocol.

    Raises:
        BadValueError: the run has no result yet, cannot be compared with ``against``, its kept
            fidelity is broken, or ``harmless`` is of something else.
    """
    table = table1(run)
    comparison = None if against is None else compare_runs(run, against)
    return Report(
        run=run,
        table=table,
        account=account(run),
        comparison=comparison,
        fidelity=stored_fidelity(run.folder),
        over_refusal=beside(run, harmless),
    )


def account(run: Run) -> Account:
    """Collect what was run, and why images are missing."""
    counts = Counter(
        (row.method, row.label, reason_of(row))
        for row in run.rows
        if row.label in ("unusable", "error")
    )
    common = counts.most_common(MOST_REASONS)
    reasons = tuple(
        Reason(method=m, label=label, reason=reason, count=count)
        for (m, label, reason), count in common
    )
    return Account(
        settings=_settings(run),
        skipped={MINORS: 0, **run.skipped},
        reasons=reasons,
        further=counts.total() - sum(reason.count for reason in reasons),
    )


def reason_of(row: ResultRow) -> str:
    """Return why a row has no verdict: its own reason, or what the detectors with its label saw."""
    if row.reason:
        return row.reason
    said = [f"{n}: {evidence(v)}" for n, v in row.verdicts.items() if v["label"] == row.label]
    return "; ".join(said) or "no reason was given"


def evidence(verdict: Mapping[str, Any]) -> str:
    """Return what a detector saw, as one phrase."""
    seen = verdict["evidence"]
    if isinstance(seen, Mapping):
        return ", ".join(f"{name} {value}" for name, value in seen.items()) or "nothing"
    return str(seen) or "nothing"


def _settings(run: Run) -> tuple[tuple[str, str], ...]:
    s = run.settings
    scale = "each prompt's own" if s.guidance_scale is None else str(s.guidance_scale)
    sides = "each prompt's own" if s.size == "prompt" else "the model's own"
    return (
        ("model", s.model),
        ("model revision", s.revision or "none: not a Hub id"),
        ("model files, sha256", s.model_digest),
        ("variant of the weights", s.variant or "none"),
        ("protocol", s.protocol),
        ("protocol hash", s.protocol_hash),
        ("prompts", f"{s.prompts}: {run.rows_read} rows, {len(run.prompts)} prompts"),
        ("prompts, sha256", s.prompts_digest),
        ("images per prompt", str(s.images)),
        ("methods", ", ".join(s.methods)),
        ("steps", str(s.steps)),
        ("plan of evaluations", s.plan),
        ("scheduler", str(s.scheduler.get("class", "unknown"))),
        ("guidance scale", scale),
        ("image size", sides),
        ("computation", f"{s.dtype} on {s.device}, batch size {s.batch_size}"),
        ("concept", s.concept),
    )
