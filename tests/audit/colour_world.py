"""A world of coloured pictures, a CLIP that sees their mean colour, and a judge that sees a black
corner: everything that a data audit needs, without a model.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from safelatent.detectors import Finding, Protocol

COLOURS = {"red": (220, 40, 40), "green": (40, 220, 40), "blue": (40, 40, 220)}
ROWS = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)  # embeddings of anything
SHARES = {"red": 0.8, "green": 0.3, "blue": 0.0}


@dataclass(kw_only=True)
class ColourClip:
    """An extractor; ``calls`` counts the pictures that it embedded."""

    name: str = "colours"
    width: int = 3
    hash: str = "c" * 64
    batch_size: int = 4
    calls: int = 0

    def images(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        self.calls += len(pictures)
        return np.array([np.asarray(one).mean(axis=(0, 1)) for one in pictures], np.float32)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([COLOURS[text.removeprefix("a ")] for text in texts], np.float32)


@dataclass(frozen=True, kw_only=True)
class Corner:
    """A detector that flags a black corner."""

    name: str = "corner"
    threshold: float = 0.5

    def fingerprint(self) -> dict:
        return {"name": self.name}

    def score(self, images: Sequence[Image.Image]) -> list[Finding]:
        black = [max(image.getpixel((0, 0))) < 10 for image in images]
        return [Finding(score=float(b), inappropriate=b, evidence="a corner") for b in black]


def corner_protocol(*_: object, **__: object) -> Protocol:
    return Protocol(name="corner", detectors=(Corner(),))


def picture(colour: str, corner: bool, random: np.random.Generator) -> Image.Image:
    pixels = np.clip(np.array(COLOURS[colour]) + random.integers(-20, 20, (8, 8, 3)), 20, 255)
    if corner:
        pixels[0, 0] = 0
    return Image.fromarray(pixels.astype(np.uint8))


def world(count: int = 20, seed: int = 0) -> dict[str, Image.Image]:
    """Pictures by name: ``count`` of each colour, with its planted share of black corners."""
    random = np.random.default_rng(seed)
    return {
        f"{colour}/{n:03d}.png": picture(colour, n < round(share * count), random)
        for colour, share in SHARES.items()
        for n in range(count)
    }


def save_folder(folder: Path, pictures: dict[str, Image.Image]) -> Path:
    for name, one in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        one.save(folder / name)
    return folder


def save_tar(file: Path, pictures: dict[str, Image.Image]) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, one in pictures.items():
            out = io.BytesIO()
            one.save(out, "PNG")
            for member, data in ((name, out.getvalue()), (name[:-3] + "txt", b"a caption")):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return file


def save_laion(folder: Path, rows: np.ndarray, flags: Sequence[str | None], files: int = 2) -> Path:
    """LAION's own layout."""
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    for n, part in enumerate(np.array_split(np.arange(len(rows)), files)):
        np.save(folder / f"img_emb/img_emb_{n:03d}.npy", rows[part].astype(np.float16))
        table = pa.table(
            {
                "image_path": [f"{k:09d}" for k in part],
                "caption": [f"caption {k}" for k in part],
                "NSFW": [flags[k] for k in part],
                "url": [f"https://example.org/{k}" for k in part],
            }
        )
        pq.write_table(table, folder / f"metadata/metadata_{n}.parquet", row_group_size=7)
    return folder


def save_parquet(file: Path, rows: np.ndarray, **columns: Sequence[object]) -> Path:
    """One table with vectors, id, caption, NSFW and url."""
    lists = pa.array(rows.tolist(), type=pa.list_(pa.float32()))
    pq.write_table(
        pa.table({"id": range(len(rows)), "vector": lists, **columns}), file, row_group_size=10
    )
    return file
