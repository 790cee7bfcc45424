"""Writes the table of what survives which change into ``provenance.md``: ``python
docs/survival.py``. A test compares.

The pictures are 24 by the embedded model, in ``tests/provenance/pictures.png``: 12 prompts with two
seeds each (``max``, 10 steps), one prompt per column. Two pictures of a prompt are what the
fingerprint confuses first. The programs that save them again are Pillow.
"""

import io
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from PIL.PngImagePlugin import PngInfo

from safelatent.provenance import AuditLog, Seal, Signer, distance, fingerprint, verify
from safelatent.provenance.marks import BITS, SIMILAR

PAGE = Path(__file__).with_name("provenance.md")
SHEET = Path(__file__).parents[1] / "tests/provenance/pictures.png"
SIDE = 64
BEGIN, END = "<!-- made by docs/survival.py -->", "<!-- end -->"


def pictures() -> list[Image.Image]:
    """The 24 pictures, RGB."""
    with Image.open(SHEET) as sheet:
        width, height = sheet.size
        corners = [(x, y) for y in range(0, height, SIDE) for x in range(0, width, SIDE)]
        return [sheet.crop((x, y, x + SIDE, y + SIDE)).convert("RGB") for x, y in corners]


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The picture as a file."""
    image.save(data := io.BytesIO(), kind, **options)
    return data.getvalue()


def opened(data: bytes) -> Image.Image:
    """The picture of a file, with what the file says."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def kept(data: bytes) -> bytes:
    """The picture saved again by a program that keeps texts."""
    info = PngInfo()
    for name, text in getattr(opened(data), "text", {}).items():
        info.add_itxt(name, text)
    return saved(opened(data), "PNG", pnginfo=info)


def noted(data: bytes) -> bytes:
    """The file with a text added to it."""
    info = PngInfo()
    info.add_text("note", "seen")
    other = saved(Image.new("L", (1, 1)), "PNG", pnginfo=info)
    begin, end = other.index(b"tEXt") - 4, data.index(b"IEND") - 4
    chunk = other[begin : begin + 12 + int.from_bytes(other[begin : begin + 4])]
    return data[:end] + chunk + data[end:]


def drawn(change: Callable[[Image.Image], Image.Image]) -> Callable[[bytes], bytes]:
    """A change of the picture, saved as PNG."""
    return lambda data: saved(change(opened(data)), "PNG")


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda data: data,
    "a text is added to the file": noted,
    "PNG saved again, texts kept": kept,
    "PNG saved again": drawn(lambda image: image),
    "JPEG, quality 90": lambda data: saved(opened(data), "JPEG", quality=90),
    "JPEG, quality 90, XMP kept": lambda data: saved(
        opened(data), "JPEG", quality=90, xmp=opened(data).info["xmp"]
    ),
    "JPEG, quality 50": lambda data: saved(opened(data), "JPEG", quality=50),
    "WebP, quality 80": lambda data: saved(opened(data), "WEBP", quality=80),
    "half the size": drawn(lambda image: image.resize((SIDE // 2, SIDE // 2))),
    "8 times the size, JPEG": lambda data: saved(opened(data).resize((8 * SIDE, 8 * SIDE)), "JPEG"),
    "grey": drawn(ImageOps.grayscale),
    "10 % brighter": drawn(lambda image: ImageEnhance.Brightness(image).enhance(1.1)),
    "30 % brighter": drawn(lambda image: ImageEnhance.Brightness(image).enhance(1.3)),
    "blurred (1 pixel)": drawn(lambda image: image.filter(ImageFilter.GaussianBlur(1))),
    "cropped, 2 % off each side": drawn(lambda image: ImageOps.crop(image, 1)),
    "cropped, 5 % off each side": drawn(lambda image: ImageOps.crop(image, 3)),
    "a border of 10 %": drawn(lambda image: ImageOps.expand(image, 6, "white")),
    "mirrored": drawn(ImageOps.mirror),
    "turned by 90 degrees": drawn(lambda image: image.rotate(90)),
}


def table() -> str:
    """The table as it should be, and how far pictures are from one another."""
    with TemporaryDirectory() as folder:
        log = AuditLog(file=Path(folder) / "log")
        seal = Seal(provider="Example Ltd", signer=Signer.for_tests(), log=log)
        files = [
            seal(image, receipt=None, prompt="any", seed=n).png
            for n, image in enumerate(pictures())
        ]
        rows = [row(name, change, files, log) for name, change in CHANGES.items()]
    codes = [fingerprint(image) for image in pictures()]
    bits = sorted(distance(one, other) or 0 for one, other in combinations(codes, 2))
    lines = [
        "| change | manifest | receipt | disclosure | found in the log | `verify` | with `--log` |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]
    note = (
        f"{len(codes)} pictures, each changed in each way. Found: the most similar entry of the log"
        f" is the picture's own, and differs in at most {SIMILAR} of {BITS} bits. Of the"
        f" {len(bits)} pairs of different pictures, the nearest differ in {bits[0]} bits (one"
        f" prompt, two seeds) and the median pair in {bits[len(bits) // 2]}."
    )
    return "\n".join([*lines, note])


def row(name: str, change: Callable[[bytes], bytes], files: list[bytes], log: AuditLog) -> str:
    """One change to every picture: marks, where the log finds it, verdicts."""
    marks: dict[str, set[str]] = {"manifest": set(), "receipt": set(), "disclosure": set()}
    verdicts: tuple[set[str], set[str]] = (set(), set())
    found = 0
    file = log.file.with_name("changed")
    for n, data in enumerate(files, start=1):
        file.write_bytes(change(data))
        alone, logged = verify(file), verify(file, log=log)
        for mark, states in marks.items():
            states |= {one.state for one in alone.findings if one.mark == mark}
        for verdict, seen in zip((alone, logged), verdicts, strict=True):
            seen.add(verdict.verdict)
        found += any(f"entry {n} of" in one.words for one in logged.findings)
    cells = [_words(states) for states in marks.values()]
    cells += [f"{found} of {len(files)}", *(_words(seen) for seen in verdicts)]
    return f"| {' | '.join([name, *cells])} |"


def _words(states: set[str]) -> str:
    return " or ".join(sorted(states)).replace("absent", "lost")


def page() -> str:
    """The page with the table as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    made = f"{BEGIN}\n{table()}\n{END}"
    return re.sub(f"{BEGIN}.*?{END}", lambda _: made, text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
