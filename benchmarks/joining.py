"""The concept in the pipeline's batch, or in a call apart: ``python -m benchmarks.joining`` prints
the ratio of their times by the size of the latents and the batch. Each is saved as it is measured;
the same command resumes.

One denoiser on 2B and B rows against 3B rows, interleaved. The limits of ``JOINED_UP_TO`` are where
the ratio comes near 1: above, a joined batch only needs more memory.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Ratio, Times, ratio, rounds_of
from safelatent import load
from safelatent.hashing import digest
from safelatent.storage import write_whole


def joining(unet: Any, side: int, batch: int, rounds: int) -> Ratio:
    """Return the ratio of the times of apart to joined."""
    config, like = unet.config, next(unet.parameters())

    @torch.no_grad()
    def rows(latents: torch.Tensor, text: torch.Tensor, counts: tuple[int, ...]) -> None:
        for count in counts:
            unet(latents[:count], 500, text[:count])
        if like.device.type == "cuda":
            torch.cuda.synchronize()

    latents = torch.randn(3 * batch, config.in_channels, side, side).to(like)
    text = torch.randn(3 * batch, 77, config.cross_attention_dim).to(like)
    runs = {
        "apart": partial(rows, latents, text, (2 * batch, batch)),
        "joined": partial(rows, latents, text, (3 * batch,)),
    }
    times: Times = {name: [] for name in runs}
    for run in runs.values():
        run()
    list(rounds_of(runs, times, rounds, math.inf))
    return ratio(times, "apart", "joined")


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joining", description=__doc__)
    add = parser.add_argument
    add("--model", default="embedded", help="name, folder or Hub id of the model")
    add("--device", default="cpu", help="that it runs on")
    add("--sides", type=int, nargs="+", default=[8, 16, 32, 64], help="heights of the latents")
    add("--batches", type=int, nargs="+", default=[1, 4, 8], help="numbers of images")
    add("--rounds", type=int, default=5, help="times that each is measured")
    add("--threads", type=int, default=1, help="of torch")
    add("--out", type=Path, default=Path("out/joining"), help="folder of what is measured")
    return parser.parse_args()


def main() -> None:
    """Measure, save and print."""
    asked = options()
    torch.set_num_threads(asked.threads)
    unet = load(asked.model).to(asked.device).unet
    key = digest([asked.model, asked.device, asked.rounds, asked.threads])[:12]
    file = asked.out / f"{key}.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    print("| side | batch | positions | apart / joined |\n|---|---|---|---|")
    for side in asked.sides:
        for batch in asked.batches:
            name = f"{side} {batch}"
            if name not in known:
                known[name] = asdict(joining(unet, side, batch, asked.rounds))
                write_whole(file, json.dumps(known).encode())
            found = Ratio(**known[name])
            spread = f"{found.least:.2f} to {found.greatest:.2f}"
            cells = f"{side} | {batch} | {batch * side * side} | {found.median:.2f} ({spread})"
            print(f"| {cells} |", flush=True)


if __name__ == "__main__":
    main()
