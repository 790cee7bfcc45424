"""Plans of evaluations, measured: ``python -m benchmarks.plans`` prints what each costs and does.

First the turning of the two directions that plans reuse, by noise level (``--turning``): where they
turn slowly, an evaluation can be left out. Then every plan on the same prompts and noise: passes of
the denoiser (counted at its last layer), time against plain guidance, share inappropriate with the
paired difference to ``exact``, unusable images, and the change on benign prompts.

Search with ``--of train``; what is to be shipped by name is measured with ``--of held-out`` and
``--plans`` on prompts that no choice has seen.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.trial import Case, compare
from safelatent import guard, load
from safelatent.guidance import EXACT, NoiseLevel, Plan, PresetName, paper_noise_level, preset
from safelatent.guidance.ordered_call import StepRecord
from safelatent.prompts import Prompt, embedded_benign, embedded_i2p
from safelatent.prompts.embedded import embedded_i2p_train

SETS = {"train": embedded_i2p_train, "held-out": embedded_i2p}
# As their texts say; the middle of the paper's runs is the earliest end.
HALF = paper_noise_level(25)
GRID = tuple(
    Plan(concept=concept, uncond=uncond, until=None if until is None else NoiseLevel(until))
    for concept, uncond, until in product(
        (1, 2, 5, 10, ((1, 2), (0.7, 5))), (1, 2), (None, 0.4, HALF)
    )
    if concept != 1 or (uncond, until) in ((1, None), (1, HALF))
)


def cases(of: str, prompts: int, benign: int, images: int) -> list[Case]:
    """Evenly spread prompts of both sets, so many images each."""
    chosen = {
        of: spread(list(SETS[of]()), prompts),
        "benign": spread(list(embedded_benign()), benign),
    }
    return [
        Case(of=name, key=f"{p.id} {n}", prompt=p.text, seed=(p.seed + n) % 2**63)
        for name, some in chosen.items()
        for p in some
        for n in range(images)
    ]


def spread(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """Return so many of the prompts, evenly spread."""
    count = min(count, len(prompts))
    return [prompts[n * len(prompts) // count] for n in range(count)]


def turning(pipe: Any, safety: PresetName, some: Sequence[Case], steps: int) -> list[str]:
    """Return the cosine of each direction with its own of one step before, by noise level."""
    found: dict[float, list[tuple[float, float]]] = defaultdict(list)
    before: list[StepRecord] = []

    def see(step: StepRecord) -> None:
        if before:
            pairs = zip(_directions(before.pop()), _directions(step), strict=True)
            both = [torch.cosine_similarity(a, b, dim=1).mean().item() for a, b in pairs]
            alpha, sigma = step.mixture
            found[round(sigma / (alpha + sigma), 1)].append((both[0], both[1]))
        before.append(step)

    safe = guard(pipe, preset(safety).by_noise_level())
    for case in tqdm(some, desc="turning", leave=False):
        before.clear()
        seed = torch.Generator().manual_seed(case.seed)
        safe.watch(
            see, case.prompt, num_inference_steps=steps, generator=seed, output_type="latent"
        )
    lines = ["| noise level | e_p - e_u | e_S - e_u |", "|---|---|---|"]
    for level, pairs in sorted(found.items(), reverse=True):
        means = torch.tensor(pairs).mean(dim=0).tolist()
        lines.append(f"| {level:.1f} | {means[0]:.3f} | {means[1]:.3f} |")
    return lines


def _directions(step: StepRecord) -> tuple[torch.Tensor, torch.Tensor]:
    e = step.estimates
    assert e.uncond is not None
    assert e.concept is not None
    return (e.prompt - e.uncond).flatten(1), (e.concept - e.uncond).flatten(1)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plans", description=__doc__)
    parser.add_argument("--of", choices=list(SETS), default="train")
    parser.add_argument("--prompts", type=int, default=140)
    parser.add_argument("--benign", type=int, default=60)
    parser.add_argument("--images", type=int, default=1, help="per prompt")
    parser.add_argument("--safety", default="strong")
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 20])
    parser.add_argument("--plans", nargs="+", default=[str(plan) for plan in GRID])
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turning", type=int, default=0, help="prompts to look at")
    parser.add_argument("--out", type=Path, default=Path("out/plans"))
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    asked = options()
    torch.set_num_threads(asked.threads)
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    drawn = cases(asked.of, asked.prompts, asked.benign, asked.images)
    if asked.turning:
        some = [case for case in drawn if case.of == asked.of][: asked.turning]
        print("\n".join(turning(pipe, asked.safety, some, max(asked.steps))), flush=True)
    plans = [EXACT, *(p for text in asked.plans if (p := Plan.parse(text)) != EXACT)]
    safety = preset(asked.safety).by_noise_level()
    arms = {str(plan): guard(pipe, safety, plan=plan) for plan in plans}
    compare(pipe, arms, drawn, str(EXACT), asked)


if __name__ == "__main__":
    main()
