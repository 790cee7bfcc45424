"""Emoji as pixels: every thing of the vocabulary, drawn in three styles. Knows files and codes;
does not know scenes.
"""

import io
import json
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from training.scenes import STYLES
from training.vocabulary import THINGS

PIXELS = 64
_SVG_SETS = {"fluent": "fluent-emoji-flat", "twemoji": "twemoji"}

Glyphs = dict[str, list[Image.Image]]  # style -> one RGBA picture a thing, in the order of THINGS


def _spellings(code: str) -> tuple[str, str, str]:
    """A hexcode with and without the variation selector, which every set writes as it likes."""
    return code, code.replace("-fe0f", ""), f"{code}-fe0f"


@cache
def codes(modules: Path) -> dict[str, str]:
    """Emojibase label -> lower-case hexcode."""
    entries = json.loads((modules / "emojibase-data/en/data.json").read_text(encoding="utf-8"))
    return {entry["label"]: entry["hexcode"].lower() for entry in entries}


@cache
def _svg_set(modules: Path, package: str) -> tuple[dict[str, str], dict[str, dict[str, str]], int]:
    folder = modules / "@iconify-json" / package
    icons = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    names = json.loads((folder / "chars.json").read_text(encoding="utf-8"))
    return names, icons["icons"], icons.get("height", 16)


def _from_svg(modules: Path, package: str, code: str) -> Image.Image:
    import resvg_py

    names, icons, size = _svg_set(modules, package)
    name = next(names[spelling] for spelling in _spellings(code) if spelling in names)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}">'
    svg = f"{head}{icons[name]['body']}</svg>"
    return Image.open(
        io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=PIXELS, height=PIXELS)))
    )


def _from_png(modules: Path, code: str) -> Image.Image:
    folder = modules / f"emoji-datasource-google/img/google/{PIXELS}"
    return Image.open(
        next(path for s in _spellings(code) if (path := folder / f"{s}.png").exists())
    )


def draw(modules: Path, style: str, label: str) -> Image.Image:
    """One thing as an RGBA picture of ``PIXELS`` squared."""
    code = codes(modules)[label]
    picture = (
        _from_svg(modules, _SVG_SETS[style], code)
        if style in _SVG_SETS
        else _from_png(modules, code)
    )
    return picture.convert("RGBA")


def glyphs(work: Path) -> Glyphs:
    """Every thing in every style, from what was fetched below ``work``; drawn once, then read from
    a plain .npy of uint8.
    """
    modules, cache_file = work / "node_modules", work / "glyphs.npy"
    labels = [thing.label for thing in THINGS]
    if not cache_file.exists():
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.stack(
            [[np.asarray(draw(modules, style, label)) for label in labels] for style in STYLES]
        )
        np.save(cache_file, pixels)
    pixels = np.load(cache_file, allow_pickle=False)
    if pixels.shape[:2] != (len(STYLES), len(labels)):
        raise SystemExit(
            f"{cache_file} holds other things than the vocabulary; delete it and run again."
        )
    return {
        style: [Image.fromarray(glyph) for glyph in drawn]
        for style, drawn in zip(STYLES, pixels, strict=True)
    }
