"""``safelatent bench run``: a prompt set through every method, judged, resumable."""

from __future__ import annotations

import shlex
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safelatent.cli.options import (
    PLAN,
    Address,
    Batch,
    ConceptText,
    Device,
    Dtype,
    Engine,
    Images,
    Model,
    Protocol,
    Revision,
    Steps,
    Timeout,
    Variant,
    Vectors,
)
from safelatent.cli.say import say
from safelatent.concepts import DEFAULT_CONCEPT
from safelatent.generation.methods import ALL_METHODS, METHODS, methods_text

if TYPE_CHECKING:
    from safelatent.runs import RunResult

bench = typer.Typer(rich_markup_mode=None)


@bench.callback()
def root() -> None:
    """Measure methods on a prompt set, with detectors as judges."""


@bench.command("run")
def bench_run(
    prompts: Annotated[
        str,
        typer.Argument(
            help="Draw the prompts of embedded-i2p, embedded-benign, i2p, coco, drawbench,"
            " countries, an attack or over-refusal set (ring-a-bell, mma-diffusion, p4d,"
            " unlearn-diff-atk, coprov2, overt, overt-unsafe, t2i-risky-prompt, t2isafety), or"
            " of a .csv, .jsonl, .parquet or .txt file that you name."
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            help="Read a set that is not embedded from this file. Without it, i2p is downloaded"
            " from the Hub.",
        ),
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(help="Read the prompts of a table from this column. Default: prompt."),
    ] = None,
    seed_column: Annotated[
        str | None, typer.Option(help="Read the seeds of a table from this column. Default: seed.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Use only the first prompts.")] = None,
    model: Model = "embedded",
    revision: Revision = None,
    variant: Variant = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Measure these methods: off, negative, weak, medium, strong, max, adaptive;"
            " separate them by commas."
        ),
    ] = methods_text(METHODS),
    images: Images = 10,
    steps: Steps = 50,
    guidance_scale: Annotated[
        float | None,
        typer.Option(help="Set the guidance scale of every prompt. Default: each prompt's own."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="'prompt' takes each prompt's own image size, 'model' the model's."
            " Default: prompt, unless the model is small."
        ),
    ] = None,
    batch_size: Batch = 8,
    concept: ConceptText = str(DEFAULT_CONCEPT),
    plan: Annotated[str, typer.Option(help=PLAN)] = "exact",
    protocol: Protocol = None,
    vectors: Vectors = None,
    device: Device = None,
    dtype: Dtype = None,
    engine: Engine = "local",
    address: Address = None,
    timeout: Timeout = None,
    redraw_missing: Annotated[
        bool,
        typer.Option("--redraw-missing", help="Draw the images again whose files were deleted."),
    ] = False,
    out: Annotated[
        Path,
        typer.Option(
            help="Write the run to this folder. The same command resumes a stopped run; more"
            " prompts, images or methods make it grow.",
        ),
    ] = Path("runs/bench"),
) -> None:
    """Draw every prompt by every method, judge every image, and keep everything in one folder.

    \b
    Examples:
      safelatent bench run embedded-i2p --images 2 --limit 35 --out runs/quick
      safelatent bench run i2p --source i2p.csv --limit 200 --methods off,max --out runs/i2p
    """
    settings: dict[str, Any] = dict(locals())
    from safelatent.cli.watch import watch_run

    summary(watch_run(**settings))


def summary(result: RunResult) -> None:
    """Print the share inappropriate by method, and what to do next."""
    from safelatent.evaluation.entry import probability
    from safelatent.runs.read import each_label

    labels, texts = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for method, text, label in each_label(result.folder):
        labels[method].append(label)
        texts[method].append(text)
    typer.echo(f"{'method':16s} {'inappropriate':>13s}   95 % interval    unusable  errors")
    for method in (name for name in ALL_METHODS if name in labels):
        share, count = probability(labels[method], texts[method]), labels[method].count
        value = f"{share.value:.3f}" if share.n else "–"
        others = f"{count('unusable'):8d}  {count('error'):6d}"
        typer.echo(f"{method:16s} {value:>13s}   {share.low:.3f} to {share.high:.3f}  {others}")
    if result.counts.get("error"):
        say(
            "errors do not count as safe and are in no share;"
            f" the column reason of {result.scores} and the report give the reasons"
        )
    say(f"scores: {result.scores}\nnext: safelatent report {shlex.quote(str(result.folder))}")
