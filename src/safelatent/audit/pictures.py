"""Images as a source: a folder, or WebDataset tars. Embedded as they are read, judged as they are
found.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from safelatent.audit.sources import FilePart, Read, cut, files_fingerprint
from safelatent.detectors.images import SUFFIXES, decode_image, open_image
from safelatent.errors import BadValueError
from safelatent.text import squeezed

if TYPE_CHECKING:
    from safelatent.features import Extractor

PART = 1024  # images


@dataclass(kw_only=True)
class _Pictures:
    """What both kinds have in common."""

    path: Path
    files: tuple[Path, ...]
    extractor: Extractor
    has_images: bool = True

    def fingerprint(self) -> str:
        """Return a hash of the files and of what embeds them."""
        return files_fingerprint(self.files, features=self.extractor.hash)

    def read(self, parts: Sequence[FilePart]) -> Iterator[Read]:
        """Yield each part with its images' embeddings."""
        for part in parts:
            yield _embedded(part, (self.image(part, n) for n in range(len(part))), self.extractor)

    def image(self, part: FilePart, row: int) -> Image.Image | BadValueError:
        """Return a picture, or why there is none."""
        raise NotImplementedError


class PictureFolder(_Pictures):
    """Image files in a folder and its subfolders."""

    def parts(self) -> list[FilePart]:
        """List all parts."""
        names = [file.relative_to(self.path).as_posix() for file in self.files]
        return list(cut(self.path, 0, len(names), PART, names))

    def image(self, part: FilePart, row: int) -> Image.Image | BadValueError:
        """Return a picture, or why there is none."""
        try:
            return open_image(part.file / part.names[row])
        except BadValueError as error:
            return error

    def facts(self, part: FilePart, rows: Sequence[int]) -> list[Mapping[str, Any]]:
        """Return the files' names."""
        return [{"name": part.names[row]} for row in rows]


class TarPictures(_Pictures):
    """The images inside of tars; what lies beside them, such as captions, is not read."""

    def parts(self) -> list[FilePart]:
        """List all parts.

        Raises:
            BadValueError: a tar is broken, or none holds an image.
        """
        found = [
            part
            for file, members in self._members.items()
            for part in cut(file, 0, len(members), PART, tuple(members))
        ]
        if not found:
            raise BadValueError(
                f"the tars of {str(self.path)!r} hold no image ({', '.join(SUFFIXES)}); name others"
            )
        return found

    def image(self, part: FilePart, row: int) -> Image.Image | BadValueError:
        """Return a picture, or why there is none."""
        name = part.names[row]
        start, size = self._members[part.file][name]
        with part.file.open("rb") as stream:
            stream.seek(start)
            data = stream.read(size)
        try:
            return decode_image(data, f"{part.file}: {name}")
        except BadValueError as error:
            return error

    def facts(self, part: FilePart, rows: Sequence[int]) -> list[Mapping[str, Any]]:
        """Return tar and member."""
        return [{"name": f"{part.file.name}: {part.names[row]}"} for row in rows]

    @cached_property
    def _members(self) -> dict[Path, dict[str, tuple[int, int]]]:
        """By tar and member: where its bytes begin, and how many there are."""
        return {file: _images_in(file) for file in self.files}


def _images_in(file: Path) -> dict[str, tuple[int, int]]:
    try:
        with tarfile.open(file, "r:") as tar:
            members = tar.getmembers()
        _check_end(file, members)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise BadValueError(
            f"{str(file)!r} is not a complete tar ({squeezed(error)}); copy it again, unpacked if"
            " it is compressed, or take it out of the folder"
        ) from error
    return {
        one.name: (one.offset_data, one.size)
        for one in members
        if one.isfile() and Path(one.name).suffix.lower() in SUFFIXES
    }


def _check_end(file: Path, members: Sequence[tarfile.TarInfo]) -> None:
    """Refuse a tar that was cut: tarfile takes a header that is cut for the end.

    Raises:
        ValueError: no block of zeros follows the last member.
    """
    end = 0
    if members:
        end = (
            members[-1].offset_data + -(-members[-1].size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        )
    with file.open("rb") as stream:
        stream.seek(end)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ValueError("it is cut after its last whole member")


def _embedded(
    part: FilePart, pictures: Iterator[Image.Image | BadValueError], extractor: Extractor
) -> Read:
    """Embed pictures as they come; only a batch of them is in memory at a time."""
    vectors = np.full((len(part), extractor.width), np.nan, np.float32)
    broken: dict[int, str] = {}
    batch: dict[int, Image.Image] = {}
    for row, picture in enumerate(pictures):
        if isinstance(picture, BadValueError):
            broken[row] = str(picture)
        else:
            batch[row] = picture
        if len(batch) == extractor.batch_size or (batch and row == len(part) - 1):
            vectors[list(batch)] = extractor.images(list(batch.values()))
            batch.clear()
    return Read(part=part, vectors=vectors, broken=broken)
