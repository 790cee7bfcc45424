"""Q16's published vectors out of the authors' pickle, without unpickling it.

The authors publish the vectors as ``prompts.p``. A pickle is a program: loading one runs whatever
it says. Here its opcodes are only listed (``pickletools.genops``), the byte strings among their
arguments are collected, and one of them is taken if, read as (2, D) numbers, it has the sha256 of
published vectors. Nothing is imported, called or built, and nothing else comes out.
"""

from __future__ import annotations

import io
import lzma
import pickletools
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from safelatent.detectors.clip_q16 import LARGEST, PUBLISHED, Vectors, check_size
from safelatent.errors import BadValueError
from safelatent.storage import check_target, place, write_whole

# A zip or a member of it that is damaged, encrypted (RuntimeError), or compressed in an unknown way
# (NotImplementedError).
BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
)
_WIDTHS = (768, 512)  # of ViT-L/14 and ViT-B/32
_TYPES = ("<f2", "<f4", "<f8", ">f2", ">f4", ">f8")
_DEPTH = 3  # of pickles within byte strings of pickles; a tensor's storage is one


def convert_q16(pickled: str | Path, target: str | Path) -> Vectors:
    """Write the published vectors in ``pickled`` to ``target``, a ``.safetensors`` file.

    Args:
        pickled: the authors' file: a pickle of a numpy array or of a torch tensor, or what
            ``torch.save`` writes (zip or legacy).
        target: the file to write; it must not exist.

    Raises:
        BadValueError: no such file, no published vectors in it, or a target that cannot be taken.
        OSError: the target cannot be written.
    """
    from safetensors.numpy import save

    target = place(target)
    check_target(target, ".safetensors")
    vectors = published_vectors(pickled)
    write_whole(target, save({"prompts": vectors.values}))
    return vectors


def published_vectors(file: str | Path) -> Vectors:
    """Return the published vectors in a pickle, as float16 (2, D).

    Raises:
        BadValueError: no such file, too large a file, or no published vectors in it.
    """
    path = place(file)
    check_size(path)
    with warnings.catch_warnings():
        # Damaged text may hold escapes that are none; pickletools tries to undo them.
        warnings.simplefilter("ignore", DeprecationWarning)
        for found in _byte_strings(path.read_bytes(), _DEPTH):
            for values in _readings(found):
                vectors = Vectors(values=values)
                if vectors.published:
                    return vectors
    raise BadValueError(
        f"{str(path)!r} holds none of Q16's published vectors ({', '.join(PUBLISHED.values())});"
        " give the authors' prompts.p"
    )


def _byte_strings(data: bytes, depth: int) -> Iterator[bytes]:
    """What could be an array's bytes in a pickle, a row of pickles, or a zip."""
    if depth == 0:
        return
    if zipfile.is_zipfile(io.BytesIO(data)):
        yield from _members(data)
        return
    yield data  # the legacy format of torch ends in the raw numbers
    rest = io.BytesIO(data)
    try:
        while rest.tell() < len(data):
            for _, argument, _ in pickletools.genops(rest):
                found = _as_bytes(argument)
                if len(found) >= 2 * min(_WIDTHS) * 2:
                    yield found
                    yield from _byte_strings(found, depth - 1)
    except ValueError:  # not a pickle, or raw numbers behind one: nothing more to list
        return


def _members(data: bytes) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                if member.file_size <= LARGEST:
                    yield archive.read(member)
    except BROKEN_ZIP:
        return


def _as_bytes(argument: object) -> bytes:
    """An opcode's argument; old protocols write bytes as text, one character per byte."""
    if isinstance(argument, bytes | bytearray):
        return bytes(argument)
    if isinstance(argument, str):
        return argument.encode("latin-1", "ignore")
    return b""


def _readings(found: bytes) -> Iterator[np.ndarray]:
    """(2, D) float16 arrays that ``found`` could begin or end with, wherever no value is lost."""
    for kind in _TYPES:
        for width in _WIDTHS:
            size = 2 * width * np.dtype(kind).itemsize
            if len(found) < size:
                continue
            for part in {found[:size], found[-size:]}:
                numbers = np.frombuffer(part, kind)
                with np.errstate(over="ignore", invalid="ignore"):
                    half = numbers.astype("<f2")
                if not (np.isfinite(half).all() and (half == numbers).all()):
                    continue
                for values in (half.reshape(2, width), half.reshape(width, 2).T):
                    if _is_q16s(values):
                        yield np.ascontiguousarray(values)


def _is_q16s(values: np.ndarray) -> bool:
    try:
        Vectors(values=values)
    except BadValueError:
        return False
    return True
