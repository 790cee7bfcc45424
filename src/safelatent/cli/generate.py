"""``safelatent generate``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from safelatent.cli.options import Images, Model, Steps
from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError
from safelatent.generation.request import Request
from safelatent.models import check_name


def generate(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROMPT", help="What to draw; '-' reads one a line from standard input."
        ),
    ] = None,
    prompt_file: Annotated[
        Path | None, typer.Option("--file", help="A text file (UTF-8) with one prompt a line.")
    ] = None,
    model: Model = "embedded",
    safety: Annotated[str, typer.Option(help="off, weak, medium, strong or max.")] = "medium",
    concept: Annotated[
        str | None,
        typer.Option(
            help="What must not appear, terms separated by commas. Default: the paper's 20 terms."
        ),
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(help="The model's own negative prompt, beside the guard.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the first noise; image n of a prompt uses seed + n.")
    ] = 0,
    steps: Steps = 50,
    guidance_scale: Annotated[float, typer.Option(help="Of the prompt; above 1.")] = 7.5,
    images: Images = 1,
    out: Annotated[
        Path, typer.Option(help="A folder; with --compare or --trace also a file ending in .png.")
    ] = Path("out"),
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="One picture: a row a prompt, a column a method, from the same noise."
        ),
    ] = False,
    trace: Annotated[
        bool,
        typer.Option(
            "--trace",
            help="One picture a prompt: the image at 8 moments, and where the guard acted.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object an image and nothing else.")
    ] = False,
) -> None:
    """Draw prompts with the guard on, and write PNG files that say how they were made.

    \b
    Examples:
      safelatent generate "a penguin with a pistol" --safety strong
      safelatent generate "a scary night" --compare
      safelatent generate "a cake with a knife" --trace --safety max
    """
    _check_options(compare, trace, images, safety, negative_prompt)
    _check_out(out, file_allowed=compare or trace)
    check_name(model)
    shared: dict[str, Any] = {
        "model": model,
        "safety": safety,
        "negative_prompt": negative_prompt,
        "steps": steps,
    }
    shared |= {
        "guidance_scale": guidance_scale,
        "concept": DEFAULT_CONCEPT if concept is None else Concept.parse(concept),
    }
    texts = _prompts(prompts or [], prompt_file)
    requests = [
        Request(prompt=text, seed=seed + n, **shared) for text in texts for n in range(images)
    ]

    from safelatent.cli import drawing

    pipe = drawing.load_quietly(model)
    drawing.warn_of_cut_prompts(pipe, texts)
    if compare:
        drawing.draw_comparison(pipe, requests, out, as_json=as_json)
    elif trace:
        drawing.draw_traces(pipe, requests, out, as_json=as_json)
    else:
        drawing.draw_images(pipe, requests, out, as_json=as_json)


def _check_options(
    compare: bool, trace: bool, images: int, safety: str, negative_prompt: str | None
) -> None:
    """Refuse options that contradict one another."""
    if compare and trace:
        raise BadValueError("--compare and --trace are two pictures; ask for one of them")
    if images < 1:
        raise BadValueError(f"--images is {images}; it must be a whole number of at least 1")
    if (compare or trace) and images != 1:
        raise BadValueError(
            f"--images is {images}; --compare and --trace show one image a prompt, so leave it out"
        )
    if trace and safety == "off":
        raise BadValueError(
            "--trace shows where the guard acts, and --safety is off; choose weak, medium, strong or max"
        )
    if compare and negative_prompt is not None:
        raise BadValueError(
            "--compare has a negative-prompt column of its own; leave --negative-prompt out"
        )


def _prompts(arguments: list[str], file: Path | None) -> list[str]:
    """Prompts of arguments, file and standard input, blank lines of the last two left out."""
    texts: list[str] = []
    for text in arguments:
        texts += _lines(sys.stdin.buffer.read(), "standard input") if text == "-" else [text]
    if file is not None:
        if not file.is_file():
            raise BadValueError(
                f"--file {str(file)!r} is not a file; give a text file with one prompt a line"
            )
        texts += _lines(file.read_bytes(), str(file))
    if not texts:
        raise BadValueError(
            "no prompt was given; write one in quotes, or use --file, or '-' for standard input"
        )
    return texts


def _lines(data: bytes, source: str) -> list[str]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadValueError(
            f"{source} is not UTF-8 (byte {error.start} is {data[error.start]:#04x}); save it as UTF-8"
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _check_out(out: Path, *, file_allowed: bool) -> None:
    """Refuse, before minutes of sampling, a place that cannot be written to."""
    is_file = out.suffix.lower() == ".png"
    if is_file and not file_allowed:
        raise BadValueError(
            f"--out {str(out)!r} names a file; give a folder (a file only with --compare or --trace)"
        )
    folder = out.parent if is_file else out
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir():
        raise BadValueError(f"--out {str(out)!r}: {existing} is not a folder; give another place")
    if not os.access(existing, os.W_OK):
        raise BadValueError(f"--out {str(out)!r}: {existing} is read-only; give another place")
    if is_file and out.is_dir():
        raise BadValueError(
            f"--out {str(out)!r} is a folder with the name of a picture; give another name"
        )
