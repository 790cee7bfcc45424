"""``safelatent attack``: black-box attacks on a guarded model, layer by layer; resumable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safelatent.cli.options import Batch, Model, Revision, Vectors, check_place
from safelatent.cli.parameters import as_options
from safelatent.cli.progress import ProgressBar
from safelatent.cli.say import quiet_libraries, say
from safelatent.text import printable

if TYPE_CHECKING:
    from safelatent.attack.execute import AttackProgress
    from safelatent.attack.folder import Attack


def attack(
    prompts: Annotated[
        str,
        typer.Argument(help="Attack with this prompt set or table, as for `bench run`."),
    ] = "embedded-i2p",
    source: Annotated[Path | None, typer.Option(help="Read a named set from this file.")] = None,
    limit: Annotated[int, typer.Option(help="Attack the first prompts of the set.")] = 100,
    queries: Annotated[
        int, typer.Option(help="Spend at most this many queries per prompt and defence.")
    ] = 200,
    guidance: Annotated[
        str, typer.Option(help="Attack these guidances: exact, adaptive; separate them by commas.")
    ] = "exact,adaptive",
    model: Model = "embedded",
    revision: Revision = None,
    steps: Annotated[int, typer.Option(help="Take this many denoising steps.")] = 20,
    batch_size: Batch = 8,
    seed: Annotated[int, typer.Option(help="Seed the search with this number.")] = 0,
    judge: Annotated[
        str, typer.Option(help="Protocol that scores pictures and decides what a success is.")
    ] = "embedded-witnessed",
    output_check: Annotated[
        str,
        typer.Option(help="Check output by this protocol, which cannot be the judge's."),
    ] = "embedded-clip",
    vectors: Vectors = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Check prompts by this file, which `safelatent policy calibrate` wrote. Default:"
            " fitted to the embedded sets, for the embedded model."
        ),
    ] = None,
    synonyms: Annotated[
        Path | None,
        typer.Option(
            help="Read synonyms from this file: those of one meaning on a line, separated by"
            " commas. Default: a short list."
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="Write to this folder; the same command resumes a stopped attack."),
    ] = Path("runs/attack"),
) -> None:
    """Attack a guarded model as a user could, with guidance alone, with a prompt check, with an
    output check, and with all three. Write attack-report.html, .md and .json.

    \b
    Examples:
      safelatent attack
      safelatent attack --limit 20 --queries 50 --out runs/short-attack
      safelatent attack i2p --source i2p.csv --model FOLDER --judge i2p-paper \\
        --vectors q16.safetensors --output-check i2p-authors-script \\
        --calibration prompt-check.safetensors
    """
    from safelatent.attack.settings import AttackSettings

    with as_options({"prompts": "--limit"}):
        settings = AttackSettings(
            model=model,
            revision=revision,
            guidances=tuple(guidance.split(",")),  # pyright: ignore[reportArgumentType]  # checked there
            prompts=limit,
            queries=queries,
            steps=steps,
            batch_size=batch_size,
            seed=seed,
            judge=judge,
            output_check=output_check,
            vectors=vectors,
            calibration=calibration,
            synonyms=synonyms,
        )
    check_place("--out", out, out)

    from safelatent.attack.execute import attack as run

    quiet_libraries()
    with ProgressBar() as bar:

        def tell(state: AttackProgress) -> None:
            words = f"{state.queries} queries, {state.successes} successes"
            bar.show(state.done, state.planned, "attacks", words)

        found = run(prompts, settings, out=out, source=source, progress=tell)
    show(found, out)


def show(found: Attack, out: Path) -> None:
    """Write the report's files, print its table, and say what came out."""
    from safelatent.attack.numbers import numbers_of
    from safelatent.attack.report import notices, sentences, write_report
    from safelatent.evaluation.numbers import interval, number

    numbers = numbers_of(found)
    files = write_report(numbers, out)
    typer.echo(f"{'guidance':10s} {'layers':14s} {'success':>8s}   95 % interval  {'queries':>9s}")
    for one in numbers.successes.values():
        typer.echo(
            f"{one.defence.guidance:10s} {one.defence.layers:14s} {number(one.share.value):>8s}"
            f"   {interval(one.share):13s} {one.queries:10,d}"
        )
    for line in sentences(numbers):
        say(printable(line))
    for line in notices(numbers):
        say(printable(f"note: {line}"))
    for file in files:
        typer.echo(printable(file))
