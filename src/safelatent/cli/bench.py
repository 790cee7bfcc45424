"""``safelatent bench run``: a prompt set through every method, judged, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safelatent.cli.options import (
    DTYPES,
    Batch,
    Device,
    Dtype,
    Images,
    Model,
    Protocol,
    Steps,
    Vectors,
    check_choice,
)
from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError
from safelatent.generation.methods import METHODS, parse_methods
from safelatent.models import check_name
from safelatent.runs.settings import SIZES, check_counts, check_guidance_scale

ENGINES = ("local", "ray")
MOST_PATIENCE = 10_080  # minutes, a week

bench = typer.Typer(
    help="Measure: a prompt set through every method, judged by detectors.", rich_markup_mode=None
)


@bench.callback()
def root() -> None:
    """Measure: a prompt set through every method, judged by detectors."""


@bench.command()
def run(
    prompts: Annotated[
        str,
        typer.Argument(
            help="embedded-i2p, embedded-benign, i2p, coco, drawbench, countries, or a .csv, .jsonl, .parquet or .txt file of your own."
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            help="The file of i2p, coco, drawbench, countries or table; without one, i2p is downloaded from the Hub."
        ),
    ] = None,
    model: Model = "embedded",
    revision: Annotated[
        str | None, typer.Option(help="Of a Hub id: the commit, so that the run can be repeated.")
    ] = None,
    methods: Annotated[
        str, typer.Option(help="Of off, negative, weak, medium, strong, max; separated by commas.")
    ] = ",".join(METHODS),
    images: Images = 10,
    limit: Annotated[int | None, typer.Option(help="Only the first prompts.")] = None,
    steps: Steps = 50,
    guidance_scale: Annotated[
        float | None, typer.Option(help="For every prompt; default: the prompt's own.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="'prompt': each prompt's own, 'model': the model's. Default: prompt, unless the model is small."
        ),
    ] = None,
    batch: Batch = 8,
    concept: Annotated[
        str | None, typer.Option(help="What must not appear; default: the paper's 20 terms.")
    ] = None,
    protocol: Protocol = None,
    vectors: Vectors = None,
    device: Device = None,
    dtype: Dtype = None,
    engine: Annotated[str, typer.Option(help="local, or ray for a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster; default: one on this machine.")
    ] = None,
    patience: Annotated[
        float | None,
        typer.Option(
            help="With ray: minutes without a finished batch, after which the run ends; default 60."
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="The run's folder; the same command again goes on where it was stopped."),
    ] = Path("runs/bench"),
) -> None:
    """Draw every prompt by every method, judge every image, and keep it all in one folder.

    \b
    Examples:
      safelatent bench run embedded-i2p --images 2 --limit 35 --out runs/quick
      safelatent bench run i2p --source i2p.csv --limit 200 --methods off,max --out runs/i2p
    """
    _check_options(images, batch, steps, guidance_scale, size, dtype)
    _check_engine(engine, address, patience)
    check_name(model)
    names = parse_methods(methods)
    parsed = str(DEFAULT_CONCEPT if concept is None else Concept.parse(concept))

    from safelatent.cli.benching import execute
    from safelatent.prompts import prompt_set
    from safelatent.runs.prepare import Asked

    chosen = prompt_set(prompts, source)
    if limit is not None:
        chosen = chosen.limit(limit)
    asked = Asked(
        model=model,
        revision=revision,
        methods=names,
        images=images,
        steps=steps,
        guidance_scale=guidance_scale,
        size=size,
        batch=batch,
        concept=parsed,
        protocol=protocol,
        vectors=vectors,
        device=device,
        dtype=dtype,
    )
    execute(asked, chosen, out, engine=engine, address=address, patience=patience)


def _check_options(
    images: int, batch: int, steps: int, scale: float | None, size: str | None, dtype: str | None
) -> None:
    """Refuse, before anything is loaded, what makes no sense."""
    check_counts(images=images, batch=batch, steps=steps)
    check_guidance_scale(scale)
    check_choice("--size", size, SIZES)
    check_choice("--dtype", dtype, DTYPES)


def _check_engine(engine: str, address: str | None, patience: float | None) -> None:
    check_choice("--engine", engine, ENGINES)
    for option, value in (("--address", address), ("--patience", patience)):
        if value is not None and engine != "ray":
            raise BadValueError(
                f"{option} is {value!r}, and the engine is {engine}; give --engine ray with it"
            )
    if patience is not None and not 0 < patience <= MOST_PATIENCE:
        raise BadValueError(
            f"--patience is {patience!r}; it must be above 0 and at most {MOST_PATIENCE} minutes"
        )
