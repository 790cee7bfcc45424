"""The mask of a guarded inpainting call: of an image of which nothing is drawn, nothing is guarded.

Where a pipeline keeps the unmasked latents of its input, a mask that marks nothing gives the input
again, and a receipt would count steps that changed nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from safelatent.errors import NotGuardedError

_PREPARE = "prepare_mask_latents"  # of every classic pipeline that inpaints


@contextmanager
def mask_checked(pipe: Any) -> Iterator[None]:
    """Refuse, in the block, a mask that marks nothing at the size of the latents.

    Raises:
        NotGuardedError: naming the image.
    """
    prepare, own = getattr(pipe, _PREPARE, None), vars(pipe).get(_PREPARE)
    if prepare is None:
        yield
        return

    def prepared(*args: Any, **kwargs: Any) -> Any:
        made = prepare(*args, **kwargs)
        check_mask(made[0])
        return made

    vars(pipe)[_PREPARE] = prepared
    try:
        yield
    finally:
        del vars(pipe)[_PREPARE]
        if own is not None:
            vars(pipe)[_PREPARE] = own


def check_mask(mask: Any) -> None:
    """Refuse a mask of which a row marks nothing.

    Args:
        mask: (B, ...), 1 where the image is drawn; anything else is no mask.

    Raises:
        NotGuardedError: naming the image.
    """
    if not isinstance(mask, Tensor):
        return
    blank = (mask.flatten(1) <= 0).all(dim=1).nonzero().flatten().tolist()
    if blank:
        raise NotGuardedError(
            f"the mask of image {blank[0]} marks nothing, or less than one latent, so that nothing"
            " is drawn and the guard could not act; mark what is to be drawn"
        )
