"""Options that several commands have, worded once, and checks that several of them need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer

from safelatent.errors import BadValueError, nearest
from safelatent.runs.settings import Dtype as _Dtype
from safelatent.storage import check_target_folder

DTYPES: tuple[str, ...] = get_args(_Dtype)
_OTHER_PICTURES = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")

Model = Annotated[
    str,
    typer.Option(
        help="Load 'embedded', a folder in diffusers' layout, or a Hub id, which is downloaded."
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(help="Commit of a Hub id; name it to make the images reproducible."),
]
Variant = Annotated[
    str | None, typer.Option(help="Load this variant of the weights, for example fp16.")
]
Images = Annotated[int, typer.Option(help="Draw this many images per prompt.")]
Steps = Annotated[int, typer.Option(help="Take this many denoising steps.")]
Batch = Annotated[int, typer.Option(help="Process this many images in one call of the model.")]
PLAN = (
    "Evaluations to pay for: exact, fast, or for example concept=5 (the concept's at every fifth"
    " step only); all but exact give other images."
)
PROTOCOLS = "embedded, embedded-witnessed, embedded-clip, i2p-paper or i2p-authors-script"
Protocol = Annotated[
    str | None,
    typer.Option(
        help=f"Judge by {PROTOCOLS}. Default: embedded for the embedded model, else i2p-paper."
    ),
]
Vectors = Annotated[
    Path | None,
    typer.Option(
        help="Read Q16's published vectors from this file; the two i2p protocols need it."
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Run on cpu, cuda, cuda:1, ... Default: the first GPU, or the CPU without one."
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="Compute in float32, float16 or bfloat16. Default: float16 on a GPU, else float32."
    ),
]
ConceptText = Annotated[
    str, typer.Option(help="What must not appear.", show_default="the paper's 20 terms")
]
Groups = Annotated[
    str,
    typer.Option(
        help="Compare these groups: countries, nationalities, embedded-places, a file (.txt"
        " with one group per line, or a table), or names separated by commas."
    ),
]
GroupColumn = Annotated[
    str | None,
    typer.Option(help="Read the groups of a table from this column. Default: group, or the first."),
]
Engine = Annotated[str, typer.Option(help="Run here (local), or on a Ray cluster (ray).")]
Address = Annotated[
    str | None,
    typer.Option(
        help="Connect to the Ray cluster at this address. Default: one is started on this machine."
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(help="Abort when no batch finishes for this many minutes; with ray. Default: 60."),
]


def check_choice(option: str, value: str | None, known: Sequence[str]) -> None:
    """Refuse a value that is given and not among the known ones.

    Raises:
        BadValueError: naming the option, the value and what it may be.
    """
    if value is not None and value not in known:
        raise BadValueError(
            f"{option} is {value!r}{nearest(value, known)}; it must be one of {', '.join(known)}"
        )


def check_place(option: str, given: Path, folder: Path) -> None:
    """Refuse, before the work and not after it, a folder that cannot be made or written to.

    Raises:
        BadValueError: naming the option, what was given and what is in the way.
    """
    check_target_folder(folder, option, given)


def check_picture_place(out: Path, *, one: bool, overwrite: bool) -> None:
    """Refuse, before minutes of sampling, an ``--out`` that cannot be written to.

    Args:
        one: whether there is one picture.

    Raises:
        BadValueError: naming what was given and what is in the way.
    """
    is_file = out.suffix.lower() == ".png"
    if out.suffix.lower() in _OTHER_PICTURES and not out.is_dir():
        raise BadValueError(
            f"--out is {str(out)!r}, and pictures are written as PNG, which keeps how they were "
            f"made; name {out.with_suffix('.png').name!r}, or a folder"
        )
    if is_file and not one:
        raise BadValueError(
            f"--out {str(out)!r} is one file and there are several pictures; give a folder"
        )
    if overwrite and not is_file:
        raise BadValueError(
            f"--overwrite is for a .png file, and --out is {str(out)!r}; leave it out (in a folder,"
            " only the same request has the same name)"
        )
    folder = out.parent if is_file else out
    check_place("--out", out, folder)
    if is_file and out.is_dir():
        raise BadValueError(
            f"--out {str(out)!r} is a folder with the name of a picture; give another name"
        )
    if is_file and out.exists() and not overwrite:
        raise BadValueError(
            f"--out {str(out)!r} exists already; name another file, or add --overwrite"
        )
