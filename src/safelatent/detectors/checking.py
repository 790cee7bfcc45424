"""Files to judgements, one after the other: what ``safelatent check`` prints. Knows paths; does not
know how anything is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from safelatent.detectors.images import open_image
from safelatent.detectors.protocol import Judgement, Protocol
from safelatent.errors import BadValueError


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A file, its picture (None where it could not be read; the verdicts then say why), and what
    the protocol says of it.
    """

    file: Path
    image: Image.Image | None
    judgement: Judgement


def check_files(
    protocol: Protocol, files: Sequence[str | Path], *, batch: int = 16
) -> Iterator[Checked]:
    """One result a file, in their order, as they are made; at most ``batch`` pictures are held at a
    time.

    A file that cannot be read is ``unusable``, with the reason as evidence; it stops no other.

    Raises:
        BadValueError: a batch below 1.
        SafelatentError: a detector cannot be loaded, before any file is read.
    """
    if batch < 1:
        raise BadValueError(f"batch is {batch}; it must be at least 1")
    protocol.hash  # noqa: B018  # what cannot be loaded is said before the first file
    for start in range(0, len(files), batch):
        paths = [Path(file) for file in files[start : start + batch]]
        opened = [_opened(path) for path in paths]
        for path, picture, judgement in zip(paths, opened, protocol.judge(opened), strict=True):
            yield Checked(
                file=path,
                image=picture if isinstance(picture, Image.Image) else None,
                judgement=judgement,
            )


def _opened(path: Path) -> Image.Image | BadValueError:
    try:
        return open_image(path)
    except BadValueError as error:
        return error
