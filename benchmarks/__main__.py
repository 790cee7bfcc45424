"""Runs every comparison, prints a table, writes ``out/bench.json``."""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.harness import harness
from benchmarks.hook import hook
from safelatent import DEFAULT_CONCEPT, MAX, MEDIUM, guard, load
from safelatent.guidance import PRESETS, Estimates

PROMPT = "a penguin with a pistol"
Run = Callable[[], Any]


def interleaved(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Seconds of every run in every round; the rounds alternate, so that a slow moment hits all
    alike.
    """
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return times


def ratios(times: dict[str, list[float]], base: str) -> dict[str, tuple[float, float, float]]:
    """Median, least and greatest ratio to ``base``, round by round."""
    result: dict[str, tuple[float, float, float]] = {}
    for name, seconds in times.items():
        each = [a / b for a, b in zip(seconds, times[base], strict=True)]
        result[name] = (statistics.median(each), min(each), max(each))
    return result


def the_peer(pipe: Any) -> Any:
    """diffusers' ``StableDiffusionPipelineSafe`` on the same components."""
    from diffusers.pipelines.deprecated.stable_diffusion_safe import StableDiffusionPipelineSafe

    parts: dict[str, Any] = {
        name: getattr(pipe, name)
        for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    }
    parts |= {"safety_checker": None, "feature_extractor": None}
    peer = StableDiffusionPipelineSafe(**parts, requires_safety_checker=False)
    peer._safety_text_concept = str(DEFAULT_CONCEPT)
    peer.set_progress_bar_config(disable=True)
    return peer


def pipelines(pipe: Any, batch: int, steps: int) -> dict[str, Run]:
    """Plain guidance, the guard at each strength, and the peer, for one batch."""
    peer = the_peer(pipe)
    call = {"prompt": [PROMPT] * batch, "num_inference_steps": steps, "output_type": "latent"}
    numbers = {
        "sld_guidance_scale": MEDIUM.scale,
        "sld_warmup_steps": MEDIUM.warmup,
        "sld_threshold": MEDIUM.threshold,
        "sld_momentum_scale": MEDIUM.momentum,
        "sld_mom_beta": MEDIUM.decay,
    }
    runs: dict[str, Run] = {"plain guidance": lambda: pipe(**call)}
    for name in ("weak", "medium", "max"):
        # By noise level, so that fewer steps than the paper's work too; at 50 it is the same.
        runs[f"guard, {name}"] = partial(guard(pipe, PRESETS[name].by_noise_level()), **call)
    runs["diffusers Safe, medium"] = lambda: peer(**call, **numbers)
    return runs


def evaluations(pipe: Any, batch: int) -> dict[str, Run]:
    """What dominates: the denoiser on two, three, and two plus one estimates, and the guidance's
    own arithmetic.
    """
    config = pipe.unet.config
    latents = torch.randn(batch, config.in_channels, config.sample_size, config.sample_size)
    text = torch.randn(3 * batch, 77, config.cross_attention_dim)
    e = Estimates(uncond=latents, prompt=latents + 0.1, concept=latents - 0.1)
    state = MAX.init(latents)

    @torch.no_grad()
    def unet(count: int) -> None:
        pipe.unet(torch.cat([latents] * count), 500, text[: count * batch])

    return {
        "two in one call": lambda: unet(2),
        "three in one call": lambda: unet(3),
        "two and one": lambda: (unet(2), unet(1)),
        "arithmetic of the guidance": lambda: MAX.correct(e, state, 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", message="The decode_latents method is deprecated")
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    print(
        f"{options.threads} threads, {options.steps} steps, {options.rounds} rounds;"
        " median ratio (least, greatest) and seconds"
    )
    found: dict[str, Any] = {}
    for batch in tqdm(options.batches, desc="batches", leave=False):
        tables = {
            "plain guidance": (pipelines(pipe, batch, options.steps), options.rounds),
            "two in one call": (evaluations(pipe, batch), 8 * options.rounds),
            "three estimates, written out": (hook(pipe, batch, options.steps), options.rounds),
            "bare loop": (harness(pipe, batch, options.steps), options.rounds),
        }
        for base, (runs, rounds) in tables.items():
            times = interleaved(runs, rounds)
            print(f"\nbatch {batch}, against {base}")
            for name, (middle, least, most) in ratios(times, base).items():
                seconds = statistics.median(times[name])
                print(f"  {name:28s} {middle:7.3f}  ({least:.3f}, {most:.3f})   {seconds:.4f} s")
            found[f"batch {batch}, against {base}"] = {
                "ratios": ratios(times, base),
                "seconds": times,
            }
    out = Path("out/bench.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(found, indent=1))
    print(f"\n{out}")


if __name__ == "__main__":
    main()
