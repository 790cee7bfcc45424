"""Values that the host reads from tensors: on a device, each makes the host wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

READING = ("_local_scalar_dense", "equal", "nonzero", "is_nonzero", "masked_select", "unique")


class _Reads(TorchDispatchMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).split(".")[1]
        if name in READING:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def syncs() -> Iterator[list[str]]:
    """Yield a list of what was read in the block: items, truths, equalities and whole tensors."""
    found: list[str] = []
    tolist, numpy = torch.Tensor.tolist, torch.Tensor.numpy

    def counted(name: str, read: Any) -> Any:
        def call(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            found.append(name)
            return read(self, *args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch, _Reads(found):
        patch.setattr(torch.Tensor, "tolist", counted("tolist", tolist))
        patch.setattr(torch.Tensor, "numpy", counted("numpy", numpy))
        yield found
