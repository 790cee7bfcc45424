"""A denoiser whose latents can be seen: guiders get the estimates alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class WatchedDenoiser:
    """Stands for ``denoiser`` in the view of one call and tells ``seen`` the latents it gets, (B,
    C, H, W) or packed.
    """

    def __init__(self, denoiser: Any, seen: Callable[[Tensor], None]) -> None:
        self._denoiser, self._seen = denoiser, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._denoiser, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        latents: Any = args[0] if args else kwargs.get("hidden_states", kwargs.get("x"))
        self._seen(torch.stack(latents) if isinstance(latents, list) else latents)
        return self._denoiser(*args, **kwargs)
