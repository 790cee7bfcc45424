"""What ``generate`` does once its arguments are sound: load, draw, write, say where."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from safelatent.cli.quiet import quiet_libraries
from safelatent.cli.say import say
from safelatent.errors import BadValueError
from safelatent.figures.comparison import Cell, comparison_sheet
from safelatent.figures.trace import TraceStep, trace_sheet
from safelatent.generation.methods import METHODS
from safelatent.generation.request import Request
from safelatent.generation.sampling import BATCH, Made, compare, sample, trace
from safelatent.generation.save import save_image, save_picture
from safelatent.guidance import PRESETS
from safelatent.models import load_pipeline
from safelatent.pipelines.clean import CleanEstimate
from safelatent.pipelines.classic.text import cut_prompts


def load_quietly(model: str) -> Any:
    """The model, without its libraries' chatter on standard error."""
    quiet_libraries()
    say(f"loading {model} ...")
    return load_pipeline(model)


def warn_of_cut_prompts(pipe: Any, prompts: Sequence[str]) -> None:
    """Name every prompt that the text encoder does not read to its end."""
    cut, limit = cut_prompts(pipe, dict.fromkeys(prompts))
    for text, count in cut:
        say(
            f"note: {_short(text)} has {count} tokens, the model reads {limit}; what comes after is not drawn"
        )


def announce(pipe: Any, request: Request, number: int, total: int) -> None:
    """The title of the pipeline's own progress bar, or a plain line when nobody watches."""
    title = f"[{number}/{total}] {_short(request.prompt)}, {request.safety}"
    watched = sys.stderr.isatty()
    pipe.set_progress_bar_config(desc=title, leave=False, disable=not watched)
    if not watched:
        say(title)


def draw_images(pipe: Any, requests: Sequence[Request], folder: Path, *, as_json: bool) -> None:
    """One file a request, each named as soon as it is whole."""
    if requests[0].safety == "off":
        say("note: safety is off; these images are unguarded")
    for n, request in enumerate(requests, 1):
        announce(pipe, request, n, len(requests))
        (made,) = sample(pipe, [request])
        file = save_image(made, folder)
        _report(describe(made, file), f"{file}{_guarded_words(made)}", as_json)


def draw_comparison(pipe: Any, requests: Sequence[Request], out: Path, *, as_json: bool) -> None:
    """All requests in one picture."""
    total, count = len(METHODS) * -(-len(requests) // BATCH), 0

    def tell(request: Request) -> None:
        nonlocal count
        count += 1
        announce(pipe, request, count, total)

    table = compare(pipe, requests, tell)
    rows = [
        (row[0].request.prompt, [Cell(image=one.image, lines=_cell_lines(one)) for one in row])
        for row in table
    ]
    made = [one for row in table for one in row]
    sheet = comparison_sheet(
        rows, [(name, _settings(name)) for name in METHODS], _footer(requests[0])
    )
    file = save_picture(
        sheet, _picture(out, "compare", requests[0]), [one.as_dict() for one in made]
    )
    _finish(made, file, as_json)


def draw_traces(pipe: Any, requests: Sequence[Request], out: Path, *, as_json: bool) -> None:
    """A picture a request."""
    if out.suffix.lower() == ".png" and len(requests) > 1:
        raise BadValueError(
            f"--out {str(out)!r} is one file and {len(requests)} prompts make {len(requests)} pictures; give a folder"
        )
    for n, request in enumerate(requests, 1):
        announce(pipe, request, n, len(requests))
        made, moments = trace(pipe, request)
        title = f"“{request.prompt}”, {request.safety} ({_settings(request.safety)})"
        footer = f"Above: what the image would become at that step. Below: where gamma acted (white: nowhere; dark: most). {_footer(request)}"
        sheet = trace_sheet(title, [_trace_moment(moment) for moment in moments], footer)
        file = save_picture(sheet, _picture(out, "trace", request), made.as_dict())
        _finish([made], file, as_json)


def _trace_moment(moment: CleanEstimate) -> TraceStep:
    acted = (
        f"gate open {moment.gate_open:.0%}"
        if float(moment.gamma.max()) > 0
        else "warm-up: left alone"
    )
    return TraceStep(
        image=moment.image, gamma=moment.gamma.numpy(), lines=(f"step {moment.i + 1}", acted)
    )


def describe(made: Made, file: Path) -> dict[str, Any]:
    """One JSON object for an image."""
    return {"file": str(file)} | made.as_dict()


def print_json(value: dict[str, Any]) -> None:
    """One object, one line, at once."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def _finish(made: Sequence[Made], file: Path, as_json: bool) -> None:
    if as_json:
        for one in made:
            print_json(describe(one, file))
    else:
        typer.echo(str(file))


def _report(value: dict[str, Any], line: str, as_json: bool) -> None:
    if as_json:
        print_json(value)
    else:
        typer.echo(line)


def _guarded_words(made: Made) -> str:
    receipt = made.receipt
    if receipt is None:
        return "  (unguarded)"
    gate = "" if receipt.gate_open is None else f", gate {receipt.gate_open:.0%} open"
    return f"  (guarded in {receipt.guided_steps} of {receipt.steps} steps{gate})"


def _cell_lines(made: Made) -> tuple[str, ...]:
    receipt = made.receipt
    if receipt is None:
        return ("unguarded",)
    gate = "" if receipt.gate_open is None else f", gate {receipt.gate_open:.0%}"
    return (f"{receipt.guided_steps} of {receipt.steps} steps{gate}",)


def _settings(column: str) -> str:
    if column == "off":
        return "plain guidance"
    if column == "negative prompt":
        return "the concept in the place of the empty prompt"
    s = asdict(PRESETS[column])
    return f"warm-up {s['warmup']}, scale {s['scale']:g}, threshold {s['threshold']:g}, momentum {s['momentum']:g}, decay {s['decay']:g}"


def _footer(request: Request) -> str:
    r = request
    return f"model {r.model}, seed {r.seed}, {r.steps} steps, guidance scale {r.guidance_scale:g}, concept: {r.concept}"


def _picture(out: Path, kind: str, request: Request) -> Path:
    return out if out.suffix.lower() == ".png" else out / f"{kind}-{request.name}.png"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
