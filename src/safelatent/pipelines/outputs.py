"""What leaves a guarded call, checked when the pipeline has returned.

An image that is not finite, or that has one value everywhere, is an error of the guard: nothing
was drawn. Knows images, arrays and latents; does not know guidance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from safelatent.errors import GuardError
from safelatent.text import counted

MADE = ("images", "videos", "latents")  # of a modular pipeline's state, the first that is there


def check_output(images: Any, count: int, blanked: Sequence[bool] | None = None) -> None:
    """Refuse images, arrays or latents of which nothing can be trusted.

    Args:
        images: PIL images, an array or a tensor with one entry per image, or a list of any; a
            video is one entry.
        count: receipts of the call.
        blanked: the images that the pipeline's own safety checker made black on purpose.

    Raises:
        GuardError: there are more or fewer images than receipts, or one is not finite or has one
            value everywhere.
    """
    images = [images] if isinstance(images, Image.Image) else images
    if len(images) != count:
        raise GuardError(
            f"the call made {counted(len(images), 'image')} and guided {count}; "
            "no image is returned without a receipt"
        )
    for b, image in enumerate(images):
        low, high = _extremes(image)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise GuardError(f"image {b} is not finite (NaN or infinite); no image is returned")
        if low == high and not (blanked and blanked[b]):
            raise GuardError(
                f"image {b} has the value {low:g} everywhere: nothing was drawn "
                "(an overflow in the decoder gives such images); no image is returned"
            )


def check_classic(output: Any, count: int) -> None:
    """Refuse the output of a classic pipeline of which nothing can be trusted.

    Args:
        output: a tuple, or diffusers' output object: the images come first.
        count: receipts of the call.

    Raises:
        GuardError: see ``check_output``.
    """
    images, *rest = output if isinstance(output, tuple) else output.to_tuple()
    check_output(images, count, rest[0] if rest else None)


def check_modular(state: Mapping[str, Any], count: int) -> None:
    """Refuse the state of a modular pipeline that has ended of which nothing can be trusted.

    Args:
        state: its values; images, videos or, where nothing was decoded, latents are checked.
        count: receipts of the call.

    Raises:
        GuardError: see ``check_output``.
    """
    made = next((state[name] for name in MADE if state.get(name) is not None), None)
    if made is None:
        raise GuardError(
            f"the call left none of {', '.join(MADE)} in its state, so nothing can be checked; "
            "keep the pipeline's last block"
        )
    check_output(made, count)


def _extremes(image: Any) -> tuple[float, float]:
    """Return the smallest and the largest value of one image, NaN if any is NaN."""
    if isinstance(image, list | tuple):
        pairs = [_extremes(one) for one in image]
        return float(np.min([low for low, _ in pairs])), float(np.max([high for _, high in pairs]))
    array = image.detach().float().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    return float(np.min(array)), float(np.max(array))
