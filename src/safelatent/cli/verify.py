"""``safelatent verify`` says what holds of an image's marks."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from safelatent.cli import sealing
from safelatent.cli.options import check_choice
from safelatent.errors import BadValueError
from safelatent.text import finite, printable

CODES = {"holds": 0, "does not hold": 1, "nothing found": 3, "similar": 4}
_VERDICTS = {
    "holds": "holds: a signature or the log vouches for it, and nothing contradicts",
    "does not hold": "does not hold",
    "nothing found": "nothing found that vouches for it",
    "similar": "not the file that was given out; the log has a picture that looks like it",
}


def verify(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Look at this picture.")],
    trust: Annotated[
        Path | None,
        typer.Option(help="The signer must be certified by an authority in this file (PEM)."),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Look the picture up in this audit log, too.")
    ] = None,
    log_key: Annotated[
        Path | None,
        typer.Option(
            help="Compare the prompt by the key of the log in this file. Default: the log's name"
            " with .key."
        ),
    ] = None,
    watermark: Annotated[
        str | None, typer.Option(help="Look for a watermark: trustmark (which must be installed).")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Say what holds of a picture: its signature, its receipt, its entry in an audit log.

    A signature or a log entry vouches for a picture; what a file says of itself without either is
    marked as claimed. Exit code: 0 holds, 1 does not hold, 3 nothing found that vouches for it, 4
    the log has a picture that looks like it.

    \b
    Examples:
      safelatent verify out/cat.png
      safelatent verify photo.jpg --log audit.jsonl --trust authorities.pem
    """
    check_choice("--watermark", watermark, ("trustmark",))
    if log_key is not None and log is None:
        raise BadValueError("--log-key needs --log; add it, or leave --log-key out")

    from safelatent.provenance.verifying import verify as find

    found = find(
        image,
        trust=None if trust is None else _authorities(trust),
        log=sealing.log_of(log, log_key),
        watermark=sealing.watermark_of(watermark),
    )
    if as_json:
        told = {"file": str(image), "verdict": found.verdict} | asdict(found)
        typer.echo(json.dumps(finite(told)))
    else:
        for one in found.findings:
            typer.echo(f"{one.mark:12s} {one.state:8s} {printable(one.words)}")
        typer.echo(f"{printable(image)}: {_VERDICTS[found.verdict]}")
    raise typer.Exit(CODES[found.verdict])


def _authorities(file: Path) -> bytes:
    """Read a file of certificates."""
    from safelatent.provenance.certificate import read_authorities

    return read_authorities(file)
