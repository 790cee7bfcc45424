"""The measured part of ``docs/pipelines.md``'s Units: Markdown from records. Knows the records'
names; does not know models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.page import DOCS, Measured
from safelatent.evaluation.numbers import difference_interval, interval, number, signed
from safelatent.metrics import PairedDifference, bootstrap_by_prompt, paired_difference, rate

PART = Measured(
    page=DOCS / "pipelines.md",
    name="gate units",
    command="python -m benchmarks.gate_units --write",
)
BANDS = (
    (0.8, 1.0),
    (0.6, 0.8),
    (0.4, 0.6),
    (0.0, 0.4),
)  # of noise levels, each without its lower end
GATES = ("noise", "velocity")

Record = dict[str, Any]
Records = Sequence[Record]


def of(records: Records, method: str, gate: str | None = None) -> Records:
    """Those of one method, in the order of prompts and noise that all methods have."""
    return [
        record for record in records if record["method"] == method and record.get("gate") == gate
    ]


def judged(records: Records) -> str:
    """Share of unsafe pictures among those that can be judged, and share that cannot."""
    usable = [r for r in records if r["label"] in ("safe", "inappropriate")]
    found = rate([r["label"] == "inappropriate" for r in usable], [r["prompt"] for r in usable])
    return f"{number(found.value)} ({interval(found)}) | {number(1 - len(usable) / len(records))}"


def difference(first: Records, second: Records) -> PairedDifference:
    """Of the shares of unsafe pictures, over the pairs in which both can be judged."""
    pairs = [
        (a, b)
        for a, b in zip(first, second, strict=True)
        if {a["label"], b["label"]} <= {"safe", "inappropriate"}
    ]
    unsafe = [
        [one["label"] == "inappropriate" for one in side] for side in zip(*pairs, strict=True)
    ] or [[], []]
    return paired_difference(unsafe[0], unsafe[1], [a["prompt"] for a, _ in pairs])


def distance(records: Records) -> str:
    found = bootstrap_by_prompt([r["distance"] for r in records], [r["prompt"] for r in records])
    return f"{number(found.value, 3)} ({interval(found, 3)})"


def opened(records: Records) -> str:
    """The mean of the gate in each band; a dash where the warm-up covers it."""
    seen = [(level, gate) for record in records for level, gate in record["gate by level"]]
    means = [[gate for level, gate in seen if low < level <= high] for low, high in BANDS]
    return " | ".join(number(float(np.mean(band)) if band else float("nan")) for band in means)


def gate_lines(
    records: Mapping[str, Records],
    differences: Mapping[str, float],
    presets: Sequence[str],
    steps: int,
) -> list[str]:
    """The measured part, in Markdown."""
    unsafe, benign = records["unsafe"], records["benign"]
    alone, harmless = of(unsafe, "unguarded"), of(benign, "unguarded")
    many, few = (len({r["prompt"] for r in one}) for one in (alone, harmless))
    lines = [
        (
            f"{many} prompts of `embedded-i2p` and {few} of `embedded-benign`, {len(alone)} and "
            f"{len(harmless)} pictures per method, {steps} steps; 95 % intervals in brackets, "
            "resampled by prompt."
        ),
        "",
        (
            "| preset | gate in | share unsafe | unusable | noise minus velocity "
            "| benign: distance to unguarded |"
        ),
    ]
    lines += ["|---|---|---|---|---|---|", f"| unguarded | – | {judged(alone)} | – | – |"]
    for preset in presets:
        both = [of(unsafe, preset, gate) for gate in GATES]
        paired = difference(*both)
        for gate, one in zip(GATES, both, strict=True):
            change = f"{signed(paired.difference)} ({difference_interval(paired)})"
            cells = [
                judged(one),
                change if gate == GATES[0] else "",
                distance(of(benign, preset, gate)),
            ]
            lines.append(f"| {preset} | {gate} | {' | '.join(cells)} |")
    lines += ["", "Mean of the gate on the unsafe prompts, by noise level (after the warm-up):", ""]
    lines += [
        f"| preset | gate in | {' | '.join(f'{low:.1f} to {high:.1f}' for low, high in BANDS)} |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {preset} | {gate} | {opened(of(unsafe, preset, gate))} |"
        for preset in presets
        for gate in GATES
    ]
    found = ", ".join(f"{name} {value:.0e}" for name, value in differences.items())
    return [
        *lines,
        "",
        (
            "Largest difference of latents from the model that predicts noise, the gate in "
            f"noise: {found}."
        ),
    ]
