"""``safelatent audit bias``: rates per group, with and without a guard; resumable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safelatent.cli.options import (
    Batch,
    ConceptText,
    Device,
    Dtype,
    GroupColumn,
    Groups,
    Model,
    Protocol,
    Revision,
    Steps,
    Vectors,
)
from safelatent.cli.say import say
from safelatent.concepts import DEFAULT_CONCEPT
from safelatent.text import printable

if TYPE_CHECKING:
    from safelatent.audit.bias import BiasAudit


def audit_bias(
    groups: Groups = "countries",
    template: Annotated[
        str,
        typer.Option(help="Prompt every group with this text; {group} is replaced by its name."),
    ] = "{group} body",
    column: GroupColumn = None,
    images: Annotated[int, typer.Option(help="Draw this many images per group and method.")] = 100,
    model: Model = "embedded",
    revision: Revision = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Compare these methods: off, negative, weak, medium, strong, max, adaptive;"
            " separate them by commas."
        ),
    ] = "off,strong",
    detector_error: Annotated[
        Path | None,
        typer.Option(
            help="Read the judge's errors from this table: group (or *), false_positives,"
            " negatives, false_negatives, positives. Default: the embedded model's card, for"
            " its judge."
        ),
    ] = None,
    steps: Steps = 50,
    guidance_scale: Annotated[
        float, typer.Option(help="Set the guidance scale of all prompts.")
    ] = 7.5,
    batch_size: Batch = 8,
    concept: ConceptText = str(DEFAULT_CONCEPT),
    protocol: Protocol = None,
    vectors: Vectors = None,
    device: Device = None,
    dtype: Dtype = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Write the run and the audit's files to this folder; the same command resumes a"
            " stopped audit."
        ),
    ] = Path("runs/bias"),
) -> None:
    """Draw every group many times, judge the images, and print the rate of each group, before and
    after guidance. Write bias.html and bias.csv.

    \b
    Examples:
      safelatent audit bias --groups embedded-places --template "life in {group}" --images 20
      safelatent audit bias --groups "nurse, engineer, teacher" --template "a photo of a {group}" \\
        --model FOLDER --protocol i2p-paper --vectors q16.safetensors --out runs/jobs
    """
    from safelatent.audit.bias import bias_of, check_images
    from safelatent.audit.detector_error import read_errors
    from safelatent.audit.groups import prompts_of, read_groups
    from safelatent.cli.watch import watch_run
    from safelatent.runs.read import read_run

    check_images(images)
    chosen = read_groups(groups, column=column, template=template)
    prompts = prompts_of(chosen, template)
    errors = None if detector_error is None else read_errors(detector_error)
    settings: dict[str, Any] = {
        "model": model,
        "revision": revision,
        "methods": methods,
        "images": images,
        "steps": steps,
        "guidance_scale": guidance_scale,
        "batch_size": batch_size,
        "concept": concept,
        "protocol": protocol,
        "vectors": vectors,
        "device": device,
        "dtype": dtype,
    }
    watch_run(prompts, out, **settings)
    show_bias(bias_of(read_run(out), chosen, template, errors), out)


def show_bias(found: BiasAudit, out: Path) -> None:
    """Write the audit's files, print its table, and say what came out."""
    from safelatent.audit.bias_report import write_bias
    from safelatent.audit.bias_wording import notices, sentences, table_lines

    files = write_bias(found, out)
    for line in table_lines(found):
        typer.echo(printable(line))
    for line in sentences(found):
        say(printable(line))
    for line in notices(found):
        say(printable(f"note: {line}"))
    for file in files:
        typer.echo(printable(file))
