"""The concept in the pipeline's batch, or in a call apart: ``python -m benchmarks.joining`` prints
the ratio of their times by the size of the latents and the batch.

One denoiser on 2B and B rows against 3B rows, interleaved. The limits of ``JOINED_UP_TO`` are where
the ratio comes near 1: above, a joined batch only needs more memory.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from benchmarks.timing import Ratio, Times, ratio, rounds_of
from safelatent import load


def joining(
    unet: Any, sides: list[int], batches: list[int], rounds: int
) -> Iterator[tuple[int, int, Ratio]]:
    """Yield side, batch size, and the ratio of apart to joined."""
    config, like = unet.config, next(unet.parameters())

    @torch.no_grad()
    def rows(latents: torch.Tensor, text: torch.Tensor, counts: tuple[int, ...]) -> None:
        for count in counts:
            unet(latents[:count], 500, text[:count])
        if like.device.type == "cuda":
            torch.cuda.synchronize()

    for side in sides:
        for batch in batches:
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
            yield side, batch, ratio(times, "apart", "joined")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joining", description=__doc__)
    parser.add_argument("--model", default="embedded", help="as load takes it")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sides", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    unet = load(asked.model).to(asked.device).unet
    print("| side | batch | positions | apart / joined |\n|---|---|---|---|")
    for side, batch, found in joining(unet, asked.sides, asked.batches, asked.rounds):
        positions = batch * side * side
        spread = f"{found.least:.2f} to {found.greatest:.2f}"
        print(f"| {side} | {batch} | {positions} | {found.median:.2f} ({spread}) |")


if __name__ == "__main__":
    main()
