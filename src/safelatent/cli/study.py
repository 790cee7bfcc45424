"""``safelatent study``: people compare pairs of images from the same noise."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from safelatent.cli.options import check_place
from safelatent.cli.progress import slow
from safelatent.cli.say import say, show_log
from safelatent.errors import BadValueError
from safelatent.text import counted, printable

study = typer.Typer(
    help="Ask people which of two images is better, and which fits the text better.",
    rich_markup_mode=None,
)

Folder = Annotated[
    Path,
    typer.Argument(help="Use the study in this folder: the --out of `safelatent study create`."),
]


@study.callback()
def root() -> None:
    """Ask people which of two images is better, and which fits the text better."""


@study.command()
def create(
    run: Annotated[
        Path,
        typer.Argument(
            help="Take the images of the run in this folder: the --out of `safelatent bench run`."
        ),
    ],
    methods: Annotated[
        str,
        typer.Option(
            help="Compare two or more methods of the run, separated by commas; the first of them"
            " in the run is what the others are compared with."
        ),
    ],
    questions: Annotated[
        str,
        typer.Option(
            help="Ask about fidelity (which image is of better quality?), alignment (which fits"
            " the text better?), or both."
        ),
    ] = "fidelity,alignment",
    pairs: Annotated[int, typer.Option(help="Show this many distinct pairs to each rater.")] = 30,
    repeats: Annotated[
        float,
        typer.Option(help="Share of the pairs that a rater sees twice, to measure consistency."),
    ] = 0.1,
    images: Annotated[
        int | None, typer.Option(help="Use only this many images of each prompt.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Use only this many prompts, the first ones.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed the order and the sides with this number.")] = 0,
    consent: Annotated[
        Path | None,
        typer.Option(
            help="Text file that raters agree to first; paragraphs are separated by blank lines."
            " Default: a text about disturbing content and about what is stored.",
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            help="Keep the answers in PostgreSQL: postgresql://USER@HOST/NAME. Default: SQLite in"
            " the study's folder."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Write the study to this folder.")] = Path(
        "studies/study"
    ),
) -> None:
    """Make a study of a run: copy its pairs of images, and make the empty database.

    \b
    Examples:
      safelatent study create runs/drawbench --methods off,strong --out studies/quality
      safelatent study create runs/quick --methods off,medium,max --questions fidelity --pairs 20
    """
    from safelatent.study import StudySettings
    from safelatent.study import create as create_study
    from safelatent.study.plan import CONSENT

    settings = StudySettings(
        methods=methods,  # pyright: ignore[reportArgumentType]  # as text
        questions=questions,  # pyright: ignore[reportArgumentType]
        pairs=pairs,
        repeats=repeats,
        seed=seed,
        consent=CONSENT if consent is None else _text(consent),
    )
    check_place("--out", out, out)
    with slow("copying the pairs of images"):
        made = create_study(run, settings, out, images=images, limit=limit, database=database)
    total, each = len(made.comparisons), min(pairs, len(made.comparisons))
    typer.echo(f"{counted(total, 'pair')} of images, {each} per rater: {printable(out)}")
    for reason, count in made.left_out.items():
        say(f"note: left out: {counted(count, 'pair')} {reason}")
    say(
        f"one vote per pair takes {counted(-(-total // each), 'rater')};"
        f" next: safelatent study serve {shlex.quote(str(out))}"
    )


@study.command()
def serve(
    folder: Folder,
    host: Annotated[
        str, typer.Option(help="Listen on this address; 0.0.0.0 stands for all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Listen on this port; 0 takes a free one.")] = 8000,
    raters: Annotated[
        int, typer.Option(help="Write this many links; raters that had one keep theirs.")
    ] = 10,
    url: Annotated[
        str | None,
        typer.Option(help="What the links begin with, if raters reach the server otherwise."),
    ] = None,
) -> None:
    """Serve the pages until Ctrl-C, and write a link per rater to links.csv in the study's folder.

    \b
    Examples:
      safelatent study serve studies/quality
      safelatent study serve studies/quality --raters 50 --url https://study.example.org
    """
    from safelatent.study import read_study
    from safelatent.study import serve as serve_study

    def started(begin: str, links: Path) -> None:
        typer.echo(f"{counted(raters, 'link')}: {printable(links)}")
        say(f"serving {begin}; every answer is stored at once; stop with Ctrl-C")

    show_log()
    read = read_study(folder)
    with suppress(KeyboardInterrupt):  # which a shell's background process does not get
        serve_study(read, host=host, port=port, raters=raters, url=url, started=started)
    say("stopped; every answer is stored, and the same command serves the same links")


@study.command()
def report(
    folder: Folder,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the four files to this folder. Default: the study's own."),
    ] = None,
) -> None:
    """Print what people prefer, and write study.html, study.md, preferences.csv and
    preferences.json.

    \b
    Examples:
      safelatent study report studies/quality
      safelatent study report studies/quality --out reports/quality
    """
    from safelatent.study import read_study, study_report, write_study_report
    from safelatent.study.tables import summary, warnings

    target = folder if out is None else out
    if folder.is_dir():
        check_place("--out", target, target)
    with slow("counting the answers"):
        found = study_report(read_study(folder))
        files = write_study_report(found, target)
    for line in summary(found):
        typer.echo(line)
    for line in warnings(found):
        say(f"note: {line}")
    for file in files:
        typer.echo(printable(file))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadValueError(
            f"--consent {str(file)!r}: {error.strerror}; give a text file in UTF-8"
        ) from error
    except UnicodeDecodeError:
        raise BadValueError(f"--consent {str(file)!r} is not text in UTF-8; save it so") from None
