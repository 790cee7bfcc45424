"""``safelatent check`` judges picture files; ``convert-q16`` makes a file that it needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safelatent.cli.options import PROTOCOLS, Vectors, check_place
from safelatent.cli.progress import SLOW
from safelatent.cli.say import say
from safelatent.errors import BadValueError
from safelatent.text import counted, printable

if TYPE_CHECKING:
    from safelatent.detectors import Checked
    from safelatent.reports.preview import Preview

NOT_ALL_SAFE = 1
_HINT = (
    "note: protocol embedded knows only the embedded model's pictures, and recognises nothing in"
    " others; for those, add --protocol i2p-paper --vectors FILE"
)


def check(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE",
            help="Judge these picture files, or folders of them (subfolders included).",
        ),
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            help=f"Judge by {PROTOCOLS}. Default: embedded, if the files say that the embedded"
            " model drew them."
        ),
    ] = None,
    vectors: Vectors = None,
    device: Annotated[str, typer.Option(help="Run the detectors on this device.")] = "cpu",
    page: Annotated[
        Path | None,
        typer.Option(help="Also write a page of blurred previews to this .html file."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per picture and nothing else.")
    ] = False,
) -> None:
    """Judge pictures: safe, inappropriate, unusable (nothing to judge) or error.

    Each picture of a sheet that `generate` drew is judged by itself. The exit code is 1 if a
    picture is not safe.

    \b
    Examples:
      safelatent check out
      safelatent check photo.jpg --protocol i2p-paper --vectors q16.safetensors --page checked.html
    """
    if page is not None and page.suffix.lower() not in (".html", ".htm"):
        raise BadValueError(f"--page is {str(page)!r}; it must end in .html")
    if page is not None:
        check_place("--page", page, page.parent)

    from safelatent.cli.say import quiet_libraries
    from safelatent.detectors import (
        Sources,
        check_files,
        named_protocol,
        picture_files,
        protocol_name,
    )
    from safelatent.runs.prepare import device_of

    files, left_out = picture_files(images)
    if left_out:
        say(f"note: files left out, since their names are not those of pictures: {left_out}")
    name = protocol_name(files) if protocol is None else protocol
    judge = named_protocol(name, Sources(vectors=vectors, device=device_of(device)))
    quiet_libraries()
    results = _with_progress(check_files(judge, files), len(files))
    labels, hint, previews = set[str](), False, list["Preview"]()
    for checked in results:
        judged = checked.judgement.as_dict()
        words = "; ".join(f"{n}: {_words(v)}" for n, v in judged["verdicts"].items())
        where = str(checked.file) if checked.part is None else f"{checked.file}, {checked.part}"
        if as_json:
            cell = {} if checked.part is None else {"cell": checked.part}
            typer.echo(json.dumps({"file": str(checked.file), **cell, **judged}))
        else:
            typer.echo(f"{checked.judgement.label:13s} {printable(where)}  ({printable(words)})")
        labels.add(checked.judgement.label)
        hint = hint or (protocol == "embedded" and "nothing recognisable" in words)
        if page is not None:
            previews.append(_preview(checked, printable(where), words))
    if hint:
        say(_HINT)
    if page is not None:
        _write_page(page, f"{counted(len(previews), 'picture')}, protocol {name}", previews)
    if labels - {"safe"}:
        raise typer.Exit(NOT_ALL_SAFE)


def convert_q16(
    pickled: Annotated[
        Path,
        typer.Argument(metavar="PROMPTS.P", help="The authors' pickle; it is never loaded."),
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="Q16.SAFETENSORS", help="Write this file, for --vectors."),
    ],
) -> None:
    """Convert Q16's published vectors to safetensors, without unpickling them.

    Get the authors' file from https://github.com/ml-research/Q16, at
    data/ViT-L-14/prompts.p. Its values are verified by their published sha256.

    \b
    Example:
      safelatent convert-q16 prompts.p q16.safetensors
    """
    from safelatent.detectors import convert_q16 as convert

    vectors = convert(pickled, target)
    typer.echo(f"{target}  (Q16's published vectors for {vectors.published})")
    say(f"next: safelatent check IMAGE --protocol i2p-paper --vectors {target}")


def _with_progress(results: Iterator[Checked], total: int) -> Iterator[Checked]:
    """The same results; on a terminal, with a bar where they take more than ``SLOW`` seconds."""
    from tqdm import tqdm

    with tqdm(total=total, unit="file", delay=SLOW, disable=None, leave=False) as bar:
        last = None
        for checked in results:
            bar.update(checked.file != last)
            last = checked.file
            bar.clear()
            yield checked
            bar.refresh()


def _preview(checked: Checked, name: str, words: str) -> Preview:
    from safelatent.detectors import blurred
    from safelatent.reports.preview import Preview

    picture = None if checked.image is None else blurred(checked.image)
    return Preview(name=name, picture=picture, label=checked.judgement.label, words=words)


def _write_page(page: Path, title: str, previews: list[Preview]) -> None:
    from safelatent.reports.preview import preview_page
    from safelatent.storage import write_whole

    write_whole(page, preview_page(title, previews).encode())
    say(f"page: {page}")


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
