"""Features of pictures, each computed once and kept on disk.

    CACHE/3f1c.../8a2e....safetensors    256 pictures: digests (K, 32), features (K, D)

The folder is named by the extractor's hash, a file by the pictures in it, so that another extractor
never meets these numbers and several processes may write at once. A file is written whole; what is
killed loses the pictures since the last one, and the same call resumes. One part's pictures are in
memory at a time, besides the features that are asked for.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from safelatent.errors import BadValueError
from safelatent.features.embedding import Computed, Embedder, Engine, Features, Group, Part, here
from safelatent.features.pictures import Picture, picture_digest
from safelatent.storage import write_whole
from safelatent.text import squeezed

PART = 256  # pictures, or pairs of them, per file
_LOG = logging.getLogger("safelatent")


def image_features(
    pictures: Sequence[Picture], embedder: Embedder, cache: Path, *, engine: Engine | None = None
) -> Features:
    """Return the features (N, D) of ``pictures``, in their order, from ``cache`` where they are
    there.

    Pictures are known by their bytes, so a renamed or copied one is not computed again, and a
    changed one is. A stream of new pictures is embedded by calling this with those of each batch.

    Args:
        pictures: files, or rows of a parquet file.
        embedder: what computes the features.
        cache: folder of stored features.
        engine: computes the parts; None is here, one after the other.

    Raises:
        BadValueError: pictures cannot be read, features are not finite, or a stored file is
            broken; all that could be computed is kept.
        OSError: the disk is full, or fails.
    """
    return group_features([(picture,) for picture in pictures], embedder, cache, engine=engine)


def group_features(
    groups: Sequence[Group],
    embedder: Embedder,
    cache: Path,
    *,
    engine: Engine | None = None,
    things: str = "images",
) -> Features:
    """Return one row (D,) per group, as ``image_features`` does; the log calls them ``things``."""
    folder = cache / embedder.hash[:32]
    names = [_name(group) for group in groups]
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places[name].append(place)
    rows = np.full((len(groups), embedder.width), np.nan, dtype=np.float32)
    missing = dict(zip(names, groups, strict=True))
    for name, row in _stored(folder, embedder.width, places):
        rows[places[name]] = row
        missing.pop(name, None)
    broken: list[str] = []
    done, total = 0, len(missing)
    for computed in (engine or here(embedder))(_parts(missing)):
        _keep(computed, folder)
        broken += computed.broken.values()
        for name, row in zip(computed.part.names, computed.rows, strict=True):
            rows[places[name]] = row
        done += len(computed.part.names)
        _LOG.info("features: %d of %d %s", done, total, things)
    if broken:
        raise BadValueError(
            f"{len(broken)} of {len(groups)} images cannot be used, and the features of all others"
            f" are kept; the first: {broken[0]}"
        )
    return rows


def digest_of(names: Iterable[str]) -> str:
    """Return the sha256 of a set of pictures, known by their digests, in any order."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def _name(group: Group) -> str:
    """A digest (hexadecimal, 64 digits) of a group: that of its one picture, or of all."""
    digests = [picture_digest(picture) for picture in group]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def _parts(missing: dict[str, Group]) -> Iterator[Part]:
    left = iter(missing.items())
    while part := tuple(islice(left, PART)):
        names, groups = zip(*part, strict=True)
        yield Part(names=names, groups=groups)


def _keep(computed: Computed, folder: Path) -> None:
    from safetensors.numpy import save

    good = [n for n in range(len(computed.rows)) if n not in computed.broken]
    if not good:
        return
    names = [bytes.fromhex(computed.part.names[n]) for n in good]
    digests = np.array([list(name) for name in names], dtype=np.uint8)
    file = hashlib.sha256(digests.tobytes()).hexdigest()[:32]
    tensors = {"digests": digests, "features": computed.rows[good]}
    write_whole(folder / f"{file}.safetensors", save(tensors))


def _stored(folder: Path, width: int, wanted: Container[str]) -> Iterator[tuple[str, Features]]:
    """Yield digest and features (D,) of every wanted row in the folder."""
    from safetensors import SafetensorError

    for file in sorted(folder.glob("*.safetensors")):
        try:
            yield from _part(file, width, wanted)
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise BadValueError(
                f"stored features in {str(file)!r} are broken ({squeezed(error)}); delete this"
                " file, and its images are computed again"
            ) from error


def _part(file: Path, width: int, wanted: Container[str]) -> list[tuple[str, Features]]:
    """Return the wanted rows of a file; the features of one without any are not read."""
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as stored:
        digests, shape = stored.get_tensor("digests"), stored.get_slice("features").get_shape()
        count = digests.size // 32
        if digests.shape != (count, 32) or shape != [count, width]:
            raise ValueError(f"its shapes are {digests.shape} and {tuple(shape)}")
        names = [bytes(digest).hex() for digest in digests]
        if not any(name in wanted for name in names):
            return []
        rows = stored.get_tensor("features")
    if not np.isfinite(rows).all():
        raise ValueError("it holds NaN or infinity")
    return [pair for pair in zip(names, rows, strict=True) if pair[0] in wanted]
