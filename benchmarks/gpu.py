"""What the guard costs on a GPU, and that it computes there what it computes on a CPU (``make
gpu``).

First parity: pipelines with random weights, guarded, in single and half precision, with CPU offload
and with ``torch.compile``, against the CPU in single precision. Then times, peak memory and host
synchronisations at the sizes of SD 1.5, SDXL and SD3 medium. Writes ``docs/gpu.md`` and
``out/gpu.json``, anew after every row, so that one that is cut off leaves what it has. ``--device
cpu`` rehearses all of it with small models, and writes only the JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from safelatent.storage import write_whole

PAGE, JSON = Path("docs/gpu.md"), Path("out/gpu.json")
PARITY_SHARE = 0.3  # of the minutes, after which no further parity is begun
MARGIN = 0.03  # of the minutes, left at the end
NO_CUDA = (
    "make gpu: torch finds no CUDA device, and there is nothing to measure; run it where one is"
)


def main() -> None:
    """Measure, print every row as it comes, and write the page and the JSON."""
    start = time.monotonic()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal"
    )
    parser.add_argument("--minutes", type=float, default=6, help="(default: %(default)g)")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.exit(2, f"{NO_CUDA}\n")
    from diffusers.utils import logging

    from benchmarks.gpu_measure import parity, speed  # slow to import, and talkative

    logging.set_verbosity_error()
    torch.backends.cudnn.allow_tf32 = False  # else single precision would not be compared
    rehearsal, seconds = options.device == "cpu", 60 * options.minutes
    found: dict[str, Any] = {"device": "cpu", "torch": torch.__version__, "parity": [], "speed": []}
    if not rehearsal:
        found["device"] = torch.cuda.get_device_name()
    for part, rows in (
        ("parity", parity(options.device, start + PARITY_SHARE * seconds)),
        ("speed", speed(options.device, start + (1 - MARGIN) * seconds, small=rehearsal)),
    ):
        for row in rows:
            print(json.dumps(row), flush=True)
            found[part].append(row)
            _write(found, rehearsal)
    failed = [row for row in found["parity"] if not row.get("passed", True)]
    if failed:
        parser.exit(1, f"{len(failed)} of {len(found['parity'])} parities are out of tolerance\n")


def _write(found: dict[str, Any], rehearsal: bool) -> None:
    from benchmarks.gpu_page import page

    write_whole(JSON, (json.dumps(found, indent=1) + "\n").encode())
    if not rehearsal:
        write_whole(PAGE, page(found).encode())


if __name__ == "__main__":
    main()
