"""What is written on the sheets of ``generate``: below each picture, in the heads of columns and in
the last line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from safelatent.detectors import Judgement, Protocol
from safelatent.figures.comparison import Cell
from safelatent.figures.trace import TraceStep
from safelatent.generation.methods import Method
from safelatent.generation.request import Request
from safelatent.generation.sampling import Made, TracedStep
from safelatent.guidance import PRESETS


def guarded_words(made: Made) -> str:
    """Return how far an image is guarded, in words."""
    receipt = made.receipt
    if receipt is None:
        return "unguarded"
    gate = "" if receipt.gate_open is None else f", gate {receipt.gate_open:.0%} open"
    return f"guarded in {receipt.guided_steps} of {receipt.steps} steps{gate}"


def cell(made: Made, judgement: Judgement | None) -> Cell:
    """Return the cell of a comparison: the picture, what the judge saw, how far it is guarded."""
    return Cell(
        image=made.image,
        seen=None if judgement is None else judgement.in_brief(),
        alarm=judgement is not None and judgement.label == "inappropriate",
        lines=(guarded_words(made).removeprefix("guarded in "),),
    )


def trace_step(step: TracedStep) -> TraceStep:
    """Return a column of a trace: both pictures, the map of gamma, and its largest value."""
    largest = float(step.guarded.gamma.max())
    line = f"largest {largest:.2g}" if largest > 0 else "warm-up"
    return TraceStep(
        title=f"step {step.guarded.i + 1}",
        unguarded=step.unguarded.image,
        guarded=step.guarded.image,
        gamma=step.guarded.gamma.numpy(),
        line=f"{line}, gate {step.guarded.gate_open:.0%}" if largest > 0 else line,
    )


def method_words(column: Method) -> str:
    """Return the settings of a comparison's column, in words."""
    if column == "off":
        return "plain guidance"
    if column == "negative prompt":
        return "the concept as negative prompt"
    if column == "adaptive":
        return "a strength for each image"
    return setting_words(asdict(PRESETS[column]))


def setting_words(settings: Mapping[str, Any]) -> str:
    """Return the settings of a guidance by name, lists left out."""
    shown = {
        name.replace("warmup", "warm-up"): f"{value:g}" if isinstance(value, int | float) else value
        for name, value in settings.items()
        if not isinstance(value, list | tuple)
    }
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def footer(request: Request, judge: Protocol | None) -> str:
    """Return the last line of a sheet: what made its pictures, and what judged them."""
    r = request
    judged = "" if judge is None else f", judged by protocol {judge.name} ({judge.hash[:12]})"
    model = r.model if r.revision is None else f"{r.model} ({r.revision[:12]})"
    return (
        f"model {model}, seed {r.seed}, {r.steps} steps, guidance scale {r.guidance_scale:g},"
        f" concept: {r.concept}{judged}"
    )
