"""Which images can be judged at all. Knows pixels; does not know files or detectors.

A broken model draws black, and a black image is "safe" to every detector there is, so the most
broken model would score best. Therefore an image is unusable, and not safe, when

- it holds NaN or infinite values, or values out of range;
- it is of one colour: no channel varies by more than ``TOLERANCE`` of its 255 levels. A black image
  is the commonest case;
- it has no pixel, is not RGB, or cannot be read.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from safelatent.errors import BadValueError

TOLERANCE = 2  # levels of 255; more than the noise of a JPEG of one colour, less than any picture


def usable(image: object) -> Image.Image:
    """``image`` as an RGB picture that a detector may be asked about.

    Args:
        image: a PIL image of mode RGB; an array (H, W, 3), RGB, of uint8 in 0..255 or of floats in
            0..1 (rounded to 8 bits); or, where an image could not be had, the ``BadValueError``
            that says why.

    Raises:
        BadValueError: the image is unusable, and why.
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
