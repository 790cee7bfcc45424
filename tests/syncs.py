"""Values that the host reads from tensors: on a device, each makes the host wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

READING = (
    "_local_scalar_dense",
    "equal",
    "is_nonzero",
    "masked_select",
    "nonzero",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
)
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")
METHODS = ("cpu", "numpy", "tolist")


class _Reads(TorchDispatchMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).split(".")[1]
        if name in READING or (name in INDEXING and _is_mask(args[1])):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def _is_mask(indices: Any) -> bool:
    """Whether one of the indices is a mask: how many it chooses is read."""
    return any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in indices)


@contextmanager
def syncs() -> Iterator[list[str]]:
    """Yield a list of what was read in the block: items, truths, equalities and whole tensors."""
    found: list[str] = []

    def counted(name: str, read: Any) -> Any:
        def call(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            found.append(name)
            return read(self, *args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch, _Reads(found):
        for name in METHODS:
            patch.setattr(torch.Tensor, name, counted(name, getattr(torch.Tensor, name)))
        yield found
