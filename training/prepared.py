"""All that training needs from elsewhere, as one file: drawings, the latents' map, texts with
embeddings, tokenizer.

Whoever has it needs no npm, no sentence encoder and no network.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from safelatent.errors import BadValueError
from safelatent.text import squeezed
from training.glyphs import DRAWINGS
from training.latents import BASIS
from training.texts import POOL

PREPARED = "prepared.zip"
MOST = 40 * 2**20  # bytes
_PARTS = (DRAWINGS, BASIS, POOL, "model/tokenizer")
_REMEDY = "give what python -m training prepare wrote"


def pack(work: Path) -> Path:
    """Write the prepared parts below ``work`` to one file beside them, and return it.

    Raises:
        SystemExit: the file is larger than 40 MiB.
    """
    files = [
        file
        for part in _PARTS
        for file in sorted([work / part] if (work / part).is_file() else (work / part).iterdir())
    ]
    target = work / PREPARED
    with zipfile.ZipFile(target, "w") as packed:
        for file in files:
            stored = file.suffix == ".npz"  # compressed already
            method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            packed.write(file, file.relative_to(work), compress_type=method)
    if (size := target.stat().st_size) > MOST:
        raise SystemExit(f"{target} has {size} bytes, more than 40 MiB: name fewer texts")
    print(f"{target}: {size / 2**20:.1f} MiB", flush=True)
    return target


def unpack(file: Path, work: Path) -> None:
    """Put the parts of a prepared ``file`` where the stages look for them, below ``work``.

    Raises:
        BadValueError: there is no such file, or it is no whole file of ``pack``'s.
    """
    work.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(file) as packed:
            missing = [
                part for part in _PARTS if not any(n.startswith(part) for n in packed.namelist())
            ]
            if missing:
                raise BadValueError(f"{file} has no {missing[0]}: {_REMEDY}")
            packed.extractall(work)  # refuses paths that lead out of work
    except (OSError, zipfile.BadZipFile) as error:
        raise BadValueError(f"{file} cannot be read ({squeezed(error)}): {_REMEDY}") from error
