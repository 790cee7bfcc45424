"""What the commands behind ``docs/speed.md`` share: options, and what an earlier call measured."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed_page import DOCS, read
from benchmarks.timing import machine
from safelatent.hashing import digest
from safelatent.models import model_digest
from safelatent.models.load import EMBEDDED


def add_options(parser: argparse.ArgumentParser, quick: str) -> None:
    """Add them; ``quick`` says what a quick run leaves out."""
    add = parser.add_argument
    add("--quick", action="store_true", help=f"{quick}; writes to out/ unless --out is given")
    add("--rounds", type=int, help="most rounds of calls that are compared")
    add("--steps", type=int, help="denoising steps of the embedded model")
    add("--threads", type=int, default=torch.get_num_threads(), help="of torch (%(default)s)")
    add("--out", type=Path, help="folder of speed.md and speed.json (default: docs)")


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


def resumed(
    folder: Path, part: str, extent: list[Any], command: str, **empty: Any
) -> dict[str, Any]:
    """Return what earlier calls measured for a part of ``speed.json``, if it was on this machine,
    of these weights and this ``extent``; else a part with the values ``empty``.

    Args:
        command: what measures now; it stands in the part beside those before it.
    """
    here = machine()
    stable = {name: value for name, value in here.items() if name != "load before"}
    key = digest([stable, extent, model_digest(EMBEDDED)])
    before = read(folder).get(part, {})
    found = before if before.get("key") == key else {"key": key, "machine": here, **empty}
    found["commands"] = list(dict.fromkeys([*found.get("commands", []), command]))
    return found
