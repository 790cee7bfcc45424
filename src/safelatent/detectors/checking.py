"""Files to judgements: folders searched, sheets taken apart, one result per picture.

``safelatent check`` prints what this yields. A PNG of ours says in its metadata how it was made. A
sheet of several pictures (a comparison, a trace) names the box of each, and each is judged by
itself: on a whole sheet a detector sees next to nothing. Metadata is only a claim, which anyone can
write, so a sheet is judged as a whole too, and counts if it is inappropriate: no metadata can hide
what a detector would have found without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from safelatent.detectors.images import SUFFIXES, read_image, stored_metadata
from safelatent.detectors.protocol import Judgement, Protocol
from safelatent.errors import BadValueError
from safelatent.storage import place

SHEETS = ("comparison", "trace")  # the kinds of our pictures that hold several
WHOLE = "the whole sheet"
_MOST_CELLS = 10_000

Box = tuple[int, int, int, int]  # left, upper, right, lower, in pixels, as PIL's crop takes it


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the protocol says of one picture.

    Attributes:
        file: where the picture is.
        part: which cell of a sheet it is; None for a file that is one picture.
        image: None if the file cannot be read; the verdicts then say why.
        judgement: the verdicts.
    """

    file: Path
    part: str | None
    image: Image.Image | None
    judgement: Judgement


def check_files(
    protocol: Protocol, files: Sequence[str | Path], *, batch: int = 16
) -> Iterator[Checked]:
    """Yield one result per picture, in the order of the files; a sheet gives one per cell. At most
    ``batch`` pictures and one file are in memory.

    A file that cannot be read is ``unusable``, with the reason as evidence; it stops no other.

    Raises:
        BadValueError: a batch below 1.
        SafelatentError: a detector cannot be loaded; raised before any file is read.
    """
    if batch < 1:
        raise BadValueError(f"batch is {batch}; it must be at least 1")
    protocol.hash  # noqa: B018  # loads the detectors before the first file is read
    pictures = (picture for file in files for picture in _pictures(Path(file)))
    while group := list(islice(pictures, batch)):
        judgements = protocol.judge([image for _, _, image in group])
        for (file, part, image), judgement in zip(group, judgements, strict=True):
            if part == WHOLE and judgement.label != "inappropriate":
                continue
            shown = image if isinstance(image, Image.Image) else None
            yield Checked(file=file, part=part, image=shown, judgement=judgement)


def picture_files(paths: Sequence[str | Path]) -> tuple[list[Path], int]:
    """Return the files to check, and how many files of the folders are left out.

    A file is taken whatever its name. Of a folder, every file whose name ends in one of
    ``SUFFIXES`` is taken, subfolders included, in alphabetical order; links to folders are not
    followed.

    Raises:
        BadValueError: a path that is empty or does not exist, or folders without any picture.
    """
    files: list[Path] = []
    left_out = 0
    for path in map(place, paths):
        if not path.is_dir():
            if not path.is_file():
                raise BadValueError(
                    f"{str(path)!r} is not a file; give picture files or folders of them"
                )
            files.append(path)
            continue
        inside = sorted(found for found in path.rglob("*") if not found.is_dir())
        taken = [found for found in inside if found.suffix.lower() in SUFFIXES]
        if not taken:
            raise BadValueError(
                f"the folder {str(path)!r} has no picture ({', '.join(SUFFIXES)}); give another"
            )
        files += taken
        left_out += len(inside) - len(taken)
    return files, left_out


def protocol_name(files: Sequence[Path]) -> str:
    """Return the protocol that fits these files, by the model that their metadata names.

    Raises:
        BadValueError: a picture that the embedded model did not draw, or that does not say which
            model did. Which protocol fits it is the user's decision.
    """
    for file in files:
        try:
            metadata = stored_metadata(file)
        except BadValueError:  # cannot be read, so it is unusable by any protocol
            continue
        model = metadata.get("model") if isinstance(metadata, dict) else None
        if model != "embedded":
            whose = (
                f"was drawn by {model!r}" if isinstance(model, str) else "does not name its model"
            )
            raise BadValueError(
                f"{str(file)!r} {whose}, so no protocol is chosen for you; add --protocol"
                " i2p-paper --vectors FILE (photographs and pictures of large models), or"
                " --protocol embedded (pictures of the embedded model)"
            )
    return "embedded"


def cell_boxes(metadata: Any, size: tuple[int, int]) -> list[tuple[str, Box]] | None:
    """Return name and box of each picture on a sheet; None if the metadata is not a sheet's.

    Args:
        metadata: what the file says of itself: for a sheet a mapping with ``kind`` (one of
            ``SHEETS``) and ``cells``, each with ``cell`` (its name) and ``box``.
        size: width and height of the sheet, in pixels.

    Raises:
        BadValueError: it says that it is a sheet, or several images, without saying where they are.
    """
    claimed = metadata if isinstance(metadata, dict) else {}
    if not (isinstance(metadata, list) or claimed.get("kind") in SHEETS or "cells" in claimed):
        return None
    cells = claimed.get("cells")
    if not isinstance(cells, list) or not 0 < len(cells) <= _MOST_CELLS:
        raise BadValueError(
            "its metadata names several pictures but not their places; draw the sheet again, or"
            " check its pictures one by one"
        )
    boxes = [_box(cell, size) for cell in cells]
    area = sum((right - left) * (lower - upper) for _, (left, upper, right, lower) in boxes)
    if area > size[0] * size[1]:
        raise BadValueError("the cells in its metadata overlap; check its pictures one by one")
    return boxes


def _box(cell: Any, size: tuple[int, int]) -> tuple[str, Box]:
    box = cell.get("box") if isinstance(cell, dict) else None
    if isinstance(box, list) and len(box) == 4 and all(type(n) is int for n in box):
        left, upper, right, lower = box
        if 0 <= left < right <= size[0] and 0 <= upper < lower <= size[1]:
            return str(cell.get("cell")), (left, upper, right, lower)
    raise BadValueError(
        f"a cell in its metadata has the box {box!r}, which is not within the picture's"
        f" {size[0]}x{size[1]} pixels; check its pictures one by one"
    )


def _pictures(
    path: Path,
) -> Iterator[tuple[Path, str | None, Image.Image | BadValueError]]:
    """The pictures of a file with their names, or why there are none."""
    try:
        picture, metadata = read_image(path)
        boxes = cell_boxes(metadata, picture.size)
    except BadValueError as error:
        yield path, None, error
        return
    if boxes is None:
        yield path, None, picture
        return
    for name, box in boxes:
        yield path, name, picture.crop(box)
    yield path, WHOLE, picture
