"""Emoji as pixels: every thing of the vocabulary at the two sizes of a scene, and scenes painted.

Knows files, codes and devices; does not know words.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.device import Place
from training.fetch import fetch
from training.scenes import BACKGROUNDS, LARGE, SIZE, SMALL, Scene
from training.vocabulary import THINGS

DRAWINGS = "drawings.npz"
PACKAGE = "fluent-emoji-flat"


@dataclass(frozen=True, kw_only=True, eq=False)
class Glyphs:
    """Every thing at every size: ``pictures`` of a side are RGBA, (things, 4, side, side) uint8.

    ``times`` is how many times as many images a step holds as on a CPU. Above 1, on an accelerator,
    batches are encoded whole; on a CPU, what recurs is encoded once and kept.
    """

    pictures: dict[int, Tensor]
    times: int = 1

    @property
    def device(self) -> torch.device:
        """Where scenes are painted, and all that is made of them is computed."""
        return next(iter(self.pictures.values())).device

    def on(self, place: Place) -> Glyphs:
        """The same at ``place``."""
        moved = {side: drawn.to(place.device) for side, drawn in self.pictures.items()}
        return Glyphs(pictures=moved, times=place.times)


def _spellings(code: str) -> tuple[str, str, str]:
    """A hexcode with and without the variation selector, which every set writes as it likes."""
    return code, code.replace("-fe0f", ""), f"{code}-fe0f"


@cache
def codes(modules: Path) -> dict[str, str]:
    """Emojibase label -> lower-case hexcode."""
    entries = json.loads((modules / "emojibase-data/en/data.json").read_text(encoding="utf-8"))
    return {entry["label"]: entry["hexcode"].lower() for entry in entries}


@cache
def _svg_set(modules: Path) -> tuple[dict[str, str], dict[str, dict[str, str]], int]:
    folder = modules / "@iconify-json" / PACKAGE
    icons = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    names = json.loads((folder / "chars.json").read_text(encoding="utf-8"))
    return names, icons["icons"], icons.get("height", 16)


def draw(modules: Path, label: str, side: int) -> Image.Image:
    """One thing as an RGBA picture of ``side`` squared, rasterised at that size."""
    import resvg_py

    names, icons, size = _svg_set(modules)
    name = next(names[s] for s in _spellings(codes(modules)[label]) if s in names)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}">'
    svg = f"{head}{icons[name]['body']}</svg>"
    drawn = resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side)
    return Image.open(io.BytesIO(bytes(drawn))).convert("RGBA")


def make_drawings(modules: Path, file: Path) -> None:
    """Draw every thing at both sizes and write them to ``file``, a compressed .npz of uint8."""
    sides = {
        str(side): np.stack([np.asarray(draw(modules, thing.label, side)) for thing in THINGS])
        for side in (LARGE, SMALL)
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, **sides)


def read_drawings(file: Path) -> Glyphs:
    """What ``make_drawings`` wrote.

    Raises:
        SystemExit: the file was made for another vocabulary.
    """
    with np.load(file, allow_pickle=False) as stored:
        drawn = {int(side): torch.from_numpy(stored[side]) for side in stored.files}
    if {len(pictures) for pictures in drawn.values()} != {len(THINGS)}:
        raise SystemExit(f"{file} holds other things than the vocabulary: delete it and run again")
    return Glyphs(
        pictures={side: rows.permute(0, 3, 1, 2).contiguous() for side, rows in drawn.items()}
    )


def glyphs(work: Path) -> Glyphs:
    """Every thing, drawn once from what is fetched, then read from a file below ``work``."""
    if not (work / DRAWINGS).exists():
        make_drawings(fetch(work), work / DRAWINGS)
    return read_drawings(work / DRAWINGS)


def paint(scenes: Sequence[Scene], drawings: Glyphs) -> Tensor:
    """Scenes as pixels, (B, 3, SIZE, SIZE) in [-1, 1], on the device that ``drawings`` are on."""
    device = drawings.device
    colours = torch.tensor([BACKGROUNDS[scene.background] for scene in scenes], device=device)
    canvas = colours[:, :, None, None].float().expand(-1, -1, SIZE, SIZE).clone()
    for layer in range(max((len(scene.placed) for scene in scenes), default=0)):
        by_box: dict[tuple[int, int, int], list[int]] = {}
        for n, scene in enumerate(scenes):
            if layer < len(scene.placed):
                by_box.setdefault(scene.placed[layer].box, []).append(n)
        for (left, top, side), rows in by_box.items():
            things = [scenes[n].placed[layer].thing for n in rows]
            drawing = drawings.pictures[side][torch.tensor(things, device=device)].float()
            at = torch.tensor(rows, device=device)
            under = canvas[at, :, top : top + side, left : left + side]
            over = torch.lerp(under, drawing[:, :3], drawing[:, 3:] / 255)
            canvas[at, :, top : top + side, left : left + side] = over
    return canvas / 127.5 - 1


def render(scene: Scene, drawings: Glyphs) -> np.ndarray:
    """The scene's pixels, (SIZE, SIZE, 3) uint8."""
    pixels = ((paint([scene], drawings)[0] + 1) * 127.5).round().byte()
    return pixels.permute(1, 2, 0).cpu().numpy()
