"""Pictures from files, whole and in RGB, or one clear line. Knows decoders; does not know
detectors.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from safelatent.errors import BadValueError

FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
)  # not those whose decoders start other programs


def open_image(file: str | Path) -> Image.Image:
    """The picture in ``file``, RGB, 8 bits a channel, turned as its EXIF says.

    Transparent pixels show white, as on a page. 16 bits a channel are scaled, CMYK is converted,
    colour profiles are not applied. A file with several frames is refused: one verdict for many
    pictures would hide the others.

    Raises:
        BadValueError: no such file, another format, empty, truncated, several frames, or more
            pixels than Pillow's limit.
    """
    path = Path(file)
    if not path.is_file():
        raise BadValueError(f"{str(path)!r} is not a file; give the path of a picture")
    if path.stat().st_size == 0:
        raise BadValueError(f"{str(path)!r} is empty (0 bytes); copy or save it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _read(path)
    except BadValueError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = Image.MAX_IMAGE_PIXELS
        raise BadValueError(
            f"{str(path)!r} would unpack to more than {limit} pixels; scale it down before it is checked"
        ) from error
    except Exception as error:  # decoders raise anything on broken files
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        formats = ", ".join(FORMATS)
        raise BadValueError(
            f"{str(path)!r} cannot be read ({reason}); give a whole picture, one of {formats}"
        ) from error


def blurred(image: Image.Image, *, side: int = 160, blocks: int = 8) -> Image.Image:
    """A preview in which nothing can be recognised: ``blocks`` pixels along the longer side, drawn
    ``side`` large and smooth.

    The detail is gone, not hidden, so a page with it may be kept and shown.
    """
    longer = max(image.size)
    few = [max(1, round(blocks * n / longer)) for n in image.size]
    large = [max(1, round(side * n / longer)) for n in image.size]
    return image.resize((few[0], few[1]), Image.Resampling.BOX).resize(
        (large[0], large[1]), Image.Resampling.BICUBIC
    )


def _read(path: Path) -> Image.Image:
    with Image.open(path, formats=FORMATS) as picture:
        if getattr(picture, "is_animated", False):
            raise BadValueError(
                f"{str(path)!r} has several frames; save each as a picture of its own and check them all"
            )
        picture.load()
        return _rgb(ImageOps.exif_transpose(picture), path)


def _rgb(picture: Image.Image, path: Path) -> Image.Image:
    if picture.mode == "F":
        raise BadValueError(
            f"{str(path)!r} holds floating-point values of no stated range; save it with 8 or 16 bits a channel"
        )
    if picture.mode.startswith("I"):
        picture = _eight_bits(np.asarray(picture), path)
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")


def _eight_bits(values: np.ndarray, path: Path) -> Image.Image:
    """``values``: (H, W), 16 bits; Pillow would cut them off at 255."""
    if values.min() < 0 or values.max() > 65535:
        raise BadValueError(
            f"{str(path)!r} holds values from {values.min()} to {values.max()}; save it with 8 or 16 bits a channel"
        )
    return Image.fromarray((values / 257).round().astype(np.uint8))
