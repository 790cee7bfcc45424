"""Options that several commands have, worded once, and the check of one that names a choice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from safelatent.errors import BadValueError, nearest

DTYPES = ("float32", "float16", "bfloat16")

Model = Annotated[
    str, typer.Option(help="'embedded', a folder in diffusers' layout, or a Hub id (downloads it).")
]
Images = Annotated[int, typer.Option(help="Images a prompt.")]
Steps = Annotated[int, typer.Option(help="Denoising steps.")]
Batch = Annotated[int, typer.Option(help="Images in one call of the model.")]
Protocol = Annotated[
    str | None,
    typer.Option(
        help="embedded, embedded-clip, i2p-paper or i2p-authors-script. Default: by the model, embedded or i2p-paper."
    ),
]
Vectors = Annotated[
    Path | None, typer.Option(help="File of Q16's published vectors, for the two i2p protocols.")
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1, ...; default: the first GPU there is.")
]
Dtype = Annotated[
    str | None, typer.Option(help="float32, float16 or bfloat16; default: float16 on a GPU.")
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
