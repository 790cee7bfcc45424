"""Pictures from files, whole and in RGB; and which of them can be judged at all.

A broken model draws black, and a black image is "safe" to every detector, so the most broken model
would score best. Therefore an image is unusable, and not safe, if

- it holds NaN or infinite values, or values out of range;
- it is of one colour: no channel varies by more than ``TOLERANCE`` of its 255 levels (a black
  image is the commonest case);
- it has no pixel, is not RGB, or cannot be read.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

from safelatent.errors import BadValueError
from safelatent.text import squeezed

# Pillow's formats less those whose decoders start other programs; and the usual names of each.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff")
TOLERANCE = 2  # levels of 255; more than the noise of a JPEG of one colour, less than any picture
# How a file becomes the pixels that everything is computed from, for hashes.
COLOURS = "RGB, 8 bits, turned by EXIF, transparency on white, colour profiles ignored"
METADATA = "safelatent"  # the text chunk in which our PNG files say how they were made
XMP = "XML:com.adobe.xmp"  # the text chunk in which any PNG file has its XMP


def open_image(file: str | Path) -> Image.Image:
    """Return the picture in ``file``: RGB, 8 bits per channel, turned as its EXIF says.

    Transparent pixels become white, as on a page. 16 bits per channel are scaled, CMYK is
    converted, colour profiles are not applied. A file of several frames is refused: one verdict
    for many pictures would hide the others.

    Raises:
        BadValueError: no such file, another format, empty, truncated, several frames, or more
            pixels than Pillow's limit.
    """
    return read_image(file)[0]


def read_image(file: str | Path) -> tuple[Image.Image, Any]:
    """Return the picture as ``open_image`` does, and what safelatent wrote into the file about it.

    The second is None if nothing was written, and the raw text if it is not JSON. It is only a
    claim: anyone can write it.

    Raises:
        BadValueError: as ``open_image``.
    """
    path = Path(file)
    if not path.is_file():
        raise BadValueError(f"{str(path)!r} is not a file; give the path of a picture")
    if path.stat().st_size == 0:
        raise BadValueError(f"{str(path)!r} is empty (0 bytes); copy or save it again")
    return _whole(path, str(path))[:2]


def decode_image(data: bytes, name: str) -> Image.Image:
    """Return a picture from a file's bytes, as ``open_image`` does.

    Args:
        data: of the whole file.
        name: of the file, for errors.

    Raises:
        BadValueError: as ``open_image``.
    """
    return decode_described(data, name)[0]


def decode_described(data: bytes, name: str) -> tuple[Image.Image, Any, bytes | None]:
    """Return what ``read_image`` returns, from a file's bytes, and the file's XMP, if it has any.

    Args:
        data: of the whole file.
        name: of the file, for errors.

    Raises:
        BadValueError: as ``open_image``.
    """
    if not data:
        raise BadValueError(f"{name!r} is empty (0 bytes); copy or save it again")
    return _whole(io.BytesIO(data), name)


def _whole(source: Path | BinaryIO, name: str) -> tuple[Image.Image, Any, bytes | None]:
    """The picture, what safelatent wrote and XMP; whatever a decoder raises, as one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _read(source, name)
    except BadValueError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = Image.MAX_IMAGE_PIXELS
        raise BadValueError(
            f"{name!r} would unpack to more than {limit} pixels; scale it down first"
        ) from error
    except Exception as error:  # decoders raise anything on broken files
        reason = f"{type(error).__name__}: {squeezed(error)}"
        formats = ", ".join(FORMATS)
        raise BadValueError(
            f"{name!r} cannot be read ({reason}); give a whole picture, one of {formats}"
        ) from error


def stored_metadata(file: Path) -> Any:
    """Return what ``read_image`` returns about the file, without decoding the picture.

    Raises:
        BadValueError: the file cannot be opened as a picture.
    """
    try:
        with Image.open(file, formats=FORMATS) as picture:
            return _parsed(picture.info.get(METADATA))
    except Exception as error:  # decoders raise anything on broken files
        raise BadValueError(f"{str(file)!r} cannot be read ({squeezed(error)})") from error


def blurred(image: Image.Image, *, side: int = 160, blocks: int = 8) -> Image.Image:
    """Return a preview in which nothing can be recognised: ``blocks`` pixels along the longer side
    (fewer where one would hold less than 8 x 8 of the picture's), drawn smoothly at ``side``
    pixels.

    The detail is gone, not hidden, so a page with the preview may be kept and shown.
    """
    longer = max(image.size)
    few = [max(1, min(round(blocks * n / longer), n // 8)) for n in image.size]
    large = [max(1, round(side * n / longer)) for n in image.size]
    return image.resize((few[0], few[1]), Image.Resampling.BOX).resize(
        (large[0], large[1]), Image.Resampling.BICUBIC
    )


def usable(image: object) -> Image.Image:
    """Return ``image`` as an RGB picture that a detector may be given.

    Args:
        image: a PIL image of mode RGB; an RGB array (H, W, 3) of uint8 in 0..255 or of floats in
            0..1 (rounded to 8 bits); or, if an image could not be read, the ``BadValueError`` that
            says why.

    Raises:
        BadValueError: the image is unusable, with the reason.
    """
    if isinstance(image, BadValueError):
        raise image
    picture = _from_array(image) if isinstance(image, np.ndarray) else image
    if not isinstance(picture, Image.Image):
        raise BadValueError(
            f"it is a {type(image).__name__}; give a PIL image or an array (H, W, 3)"
        )
    if picture.mode != "RGB":
        raise BadValueError(f"its mode is {picture.mode}; give RGB (open_image converts a file)")
    if 0 in picture.size:
        raise BadValueError(f"its size is {picture.width}x{picture.height}; it has no pixel")
    _refuse_one_colour(picture)
    return picture


def _read(source: Path | BinaryIO, name: str) -> tuple[Image.Image, Any, bytes | None]:
    with Image.open(source, formats=FORMATS) as picture:
        if getattr(picture, "is_animated", False):
            raise BadValueError(
                f"{name!r} has several frames; save each as a separate picture and check all"
            )
        picture.load()
        rgb, info = _rgb(ImageOps.exif_transpose(picture), name), picture.info
        return rgb, _parsed(info.get(METADATA)), _packet(info)


def _parsed(stored: object) -> Any:
    if not isinstance(stored, str):
        return None
    try:
        return json.loads(stored)
    except (ValueError, RecursionError):
        return str(stored)


def _packet(info: Mapping[str | tuple[int, int], Any]) -> bytes | None:
    """XMP as bytes; Pillow has it as text if the chunk is not of the kind that the standard names,
    which other readers take all the same.
    """
    xmp = info.get("xmp", info.get(XMP))
    if isinstance(xmp, str):
        return xmp.encode("latin-1", "replace")
    return xmp if isinstance(xmp, bytes) else None


def _rgb(picture: Image.Image, name: str) -> Image.Image:
    if picture.mode == "F":
        raise BadValueError(
            f"{name!r} holds floating-point values of no stated range; save it with 8 or 16"
            " bits per channel"
        )
    if picture.mode.startswith("I"):
        picture = _eight_bits(np.asarray(picture), name)
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")


def _eight_bits(values: np.ndarray, name: str) -> Image.Image:
    """``values``: (H, W), 16 bits; Pillow would cut them off at 255."""
    if values.min() < 0 or values.max() > 65535:
        raise BadValueError(
            f"{name!r} holds values from {values.min()} to {values.max()}; save it with 8 or"
            " 16 bits per channel"
        )
    return Image.fromarray((values / 257).round().astype(np.uint8))


def _refuse_one_colour(picture: Image.Image) -> None:
    extrema = np.array(picture.getextrema())  # (channel, lowest and highest)
    low, high = extrema[:, 0], extrema[:, 1]
    if (high - low).max() > TOLERANCE:
        return
    if high.max() <= TOLERANCE:
        raise BadValueError("it is black; there is nothing to judge")
    raise BadValueError(f"it is of one colour, {tuple(high.tolist())}; there is nothing to judge")


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise BadValueError(
            f"its shape is {array.shape}; it must be (H, W, 3) with at least one pixel"
        )
    if array.dtype == np.uint8:
        return Image.fromarray(array)
    if not np.issubdtype(array.dtype, np.floating):
        raise BadValueError(
            f"its values are {array.dtype}; they must be uint8 in 0..255 or floats in 0..1"
        )
    if not np.isfinite(array).all():
        raise BadValueError("it holds NaN or infinite values; the model's numbers overflowed")
    if array.min() < 0 or array.max() > 1:
        raise BadValueError(
            f"its values go from {array.min():.4g} to {array.max():.4g}; floats must lie in 0..1"
        )
    return Image.fromarray((array.astype(np.float32) * 255).round().astype(np.uint8))
