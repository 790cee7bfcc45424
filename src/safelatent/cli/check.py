"""``safelatent check``: what is in these files, by the detectors of a protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from safelatent.cli.options import Vectors
from safelatent.cli.say import say
from safelatent.errors import BadValueError
from safelatent.text import printable

NOT_ALL_SAFE = 1


def check(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Picture files.")],
    protocol: Annotated[
        str, typer.Option(help="embedded, embedded-clip, i2p-paper or i2p-authors-script.")
    ] = "embedded",
    vectors: Vectors = None,
    device: Annotated[str, typer.Option(help="Where the detectors run.")] = "cpu",
    page: Annotated[
        Path | None, typer.Option(help="Also write a page of blurred previews to this .html file.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a file and nothing else.")
    ] = False,
) -> None:
    """Judge picture files: safe, inappropriate, unusable (nothing to judge) or error. Exit code 1
    when a file is not safe.

    \b
    Examples:
      safelatent check out/*.png
      safelatent check photo.jpg --protocol i2p-paper --vectors q16.npy --page out/checked.html
    """
    _check_files(images)
    if page is not None and page.suffix.lower() not in (".html", ".htm"):
        raise BadValueError(f"--page is {str(page)!r}; it must end in .html")

    from safelatent.cli.say import quiet_libraries
    from safelatent.detectors import Sources, blurred, check_files, named_protocol
    from safelatent.reports.preview import Preview, preview_page
    from safelatent.runs.prepare import device_of
    from safelatent.storage import write_whole

    quiet_libraries()
    asked = named_protocol(protocol, Sources(vectors=vectors, device=device_of(device)))
    previews: list[Preview] = []
    for checked in check_files(asked, images):
        judged = checked.judgement.as_dict()
        words = "; ".join(
            f"{name}: {_words(verdict)}" for name, verdict in judged["verdicts"].items()
        )
        typer.echo(
            json.dumps({"file": str(checked.file), **judged})
            if as_json
            else f"{checked.judgement.label:13s} {printable(checked.file)}  ({printable(words)})"
        )
        picture = None if checked.image is None else blurred(checked.image)
        previews.append(
            Preview(
                name=printable(checked.file),
                picture=picture,
                label=checked.judgement.label,
                words=words,
            )
        )
    if page is not None:
        write_whole(
            page, preview_page(f"{len(previews)} files, protocol {protocol}", previews).encode()
        )
        say(f"page: {page}")
    if any(preview.label != "safe" for preview in previews):
        raise typer.Exit(NOT_ALL_SAFE)


def _check_files(images: list[Path]) -> None:
    for image in images:
        if not image.is_file():
            kind = (
                "is a folder; give the files in it"
                if image.is_dir()
                else "is not a file; give picture files"
            )
            raise BadValueError(f"{str(image)!r} {kind}")


def _words(verdict: dict[str, Any]) -> str:
    """Label, score, and what was seen."""
    evidence = verdict["evidence"]
    seen = (
        evidence
        if isinstance(evidence, str)
        else ", ".join(f"{key} {value}" for key, value in evidence.items())
    )
    score = "" if verdict["score"] is None else f" {verdict['score']:.2f}"
    return f"{verdict['label']}{score}, {seen}" if seen else f"{verdict['label']}{score}"
