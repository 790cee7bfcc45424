"""The options that the commands behind ``docs/speed.md`` share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed_page import DOCS


def add_options(parser: argparse.ArgumentParser, quick: str) -> None:
    """Add them; ``quick`` says what a quick run leaves out."""
    add = parser.add_argument
    add("--quick", action="store_true", help=f"{quick}; writes to out/")
    add("--rounds", type=int, help="at most")
    add("--steps", type=int, help="of the embedded model")
    add("--threads", type=int, default=torch.get_num_threads(), help="(default: %(default)s)")
    add("--out", type=Path, help="folder (default: docs)")


def settled(
    parser: argparse.ArgumentParser, quick: dict[str, Any], whole: dict[str, Any]
) -> argparse.Namespace:
    """Read the command line; what it leaves out is the extent of a quick or of a whole run."""
    asked = parser.parse_args()
    for name, value in (quick if asked.quick else whole).items():
        if getattr(asked, name) is None:
            setattr(asked, name, value)
    asked.out = asked.out or (Path("out") if asked.quick else DOCS)
    return asked
