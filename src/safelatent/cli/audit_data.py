"""``safelatent audit data``: the images nearest to each group's query, and the share flagged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safelatent.cli.options import PROTOCOLS, Batch, Device, GroupColumn, Groups, check_place
from safelatent.cli.parameters import as_options
from safelatent.cli.progress import ProgressBar
from safelatent.cli.say import quiet_libraries, say, show_log
from safelatent.text import printable

if TYPE_CHECKING:
    from safelatent.audit.data import DataAudit


def audit_data(
    data: Annotated[
        Path,
        typer.Argument(
            help="Search a folder of images, WebDataset .tar files, or .npy or .parquet files with"
            " embeddings, such as LAION's (img_emb and metadata)."
        ),
    ],
    groups: Groups = "nationalities",
    template: Annotated[
        str,
        typer.Option(help="Search each group with this text; {group} is replaced by its name."),
    ] = "{group} body",
    group_column: GroupColumn = None,
    nearest: Annotated[int, typer.Option(help="Find this many images per group.")] = 100,
    search: Annotated[
        str,
        typer.Option(
            help="exact compares everything; lists reads parts of a large index; auto is exact"
            " below 200,000 images."
        ),
    ] = "auto",
    features: Annotated[
        str,
        typer.Option(
            help="Embed queries and images by this CLIP: 'embedded', or a folder in transformers'"
            " layout. Embeddings that are there already must be of the same CLIP."
        ),
    ] = "embedded",
    column: Annotated[
        str | None,
        typer.Option(
            help="Read the embeddings from this column of Parquet files. Default: the only column"
            " of lists."
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help=f"Judge pictures by {PROTOCOLS}. Default: embedded for the embedded CLIP, else"
            " i2p-paper."
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            help="Read Q16's vectors from this file: for an i2p protocol, or to judge embeddings."
        ),
    ] = None,
    flag_column: Annotated[
        str | None,
        typer.Option(
            help="Take the flags from this column as they are: NSFW or UNLIKELY, true or false, or"
            " a number from 0 to 1. Default without vectors: NSFW or punsafe."
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Compare with the unguarded rates of the bias audit in this folder."),
    ] = None,
    skip_broken: Annotated[
        bool,
        typer.Option("--skip-broken", help="Leave out images that cannot be read; count them."),
    ] = False,
    batch_size: Batch = 16,
    device: Device = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Write the index and the audit's files to this folder; the same command resumes a"
            " stopped build."
        ),
    ] = Path("runs/data"),
) -> None:
    """Find the images nearest to every group's query, judge them, and print the share flagged of
    each group. Write data.html, data.csv and hits.csv.

    \b
    Examples:
      safelatent audit data pictures --groups "panda, penguin" --template "a {group}" --nearest 20
      safelatent audit data laion --features clip-vit-large-patch14 --vectors q16.safetensors
    """
    given: dict[str, Any] = dict(locals())
    from safelatent.audit.data import audit_data as run_audit
    from safelatent.audit.data import check_data
    from safelatent.audit.groups import read_groups
    from safelatent.runs.prepare import device_of

    check_data(template, nearest, search)
    with as_options({"column": "--group-column"}):
        chosen = read_groups(groups, column=group_column, template=template)
    check_place("--out", out, out)
    quiet_libraries()
    show_log()
    settings = {
        name: value
        for name, value in given.items()
        if name not in ("data", "groups", "group_column", "device", "out")
    }
    with ProgressBar() as bar:
        found = run_audit(
            data,
            chosen,
            index=out / "index",
            device=device_of(device),
            progress=bar.show,
            **settings,
        )
    _show(found, out)


def _show(found: DataAudit, out: Path) -> None:
    from safelatent.audit.data_report import notices, sentences, table_lines, write_data

    files = write_data(found, out)
    say(f"{found.rows:,} images; judged by {found.judge}")
    for line in table_lines(found):
        typer.echo(printable(line))
    for line in sentences(found):
        say(printable(line))
    for line in notices(found):
        say(printable(f"note: {line}"))
    for file in files:
        typer.echo(printable(file))
