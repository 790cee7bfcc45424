"""In which precision training computes. Knows devices; does not know what is trained."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the stages compute: a CPU's cores, or an accelerator (with larger batches)."""

    device: str = "cpu"
    times: int = 1  # how many times as many images a step holds as on a CPU


def half_precision(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 arithmetic where ``device`` has it, else nothing.

    A CPU without such instructions emulates them, and takes a hundred times as long.
    """
    on_cpu = torch.cpu._is_avx512_bf16_supported()  # pyright: ignore[reportPrivateUsage]
    has_it = device.type == "cuda" or (device.type == "cpu" and on_cpu)
    return torch.autocast(device.type, torch.bfloat16, enabled=has_it)
