"""How fast the directions that plans reuse turn, by noise level: where they turn slowly, an
evaluation can be left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.trial import Case
from safelatent import guard
from safelatent.guidance import PresetName, preset
from safelatent.guidance.ordered_call import StepRecord

COLUMNS = ("noise level", "`e_p - e_u`, cosine", "`e_S - e_u`, cosine")
COLUMNS += ("`e_u` off, its direction reused", "`e_u` off, itself reused")


def turning(pipe: Any, safety: PresetName, some: Sequence[Case], steps: int) -> list[str]:
    """Return a table, by noise level, of what one step changes: the cosine of each direction with
    its own of the step before, and how far off ``e_u`` is if ``e_p - e_u`` is reused, or ``e_u``
    itself, as shares of ``|e_p - e_u|``.
    """
    found: dict[float, list[tuple[float, ...]]] = defaultdict(list)
    before: list[StepRecord] = []

    def see(step: StepRecord) -> None:
        if before:
            alpha, sigma = step.mixture
            found[round(sigma / (alpha + sigma), 1)].append(_changes(before.pop(), step))
        before.append(step)

    safe = guard(pipe, preset(safety).by_noise_level())
    for case in tqdm(some, desc="turning", leave=False):
        before.clear()
        seed = torch.Generator().manual_seed(case.seed)
        safe.watch(
            see, case.prompt, num_inference_steps=steps, generator=seed, output_type="latent"
        )
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for level, each in sorted(found.items(), reverse=True):
        means = torch.tensor(each).mean(dim=0).tolist()
        lines.append(f"| {level:.1f} | {' | '.join(f'{mean:.3f}' for mean in means)} |")
    return lines


def _changes(before: StepRecord, step: StepRecord) -> tuple[float, ...]:
    (e_u, *old), (now_u, *new) = _directions(before), _directions(step)
    cosines = [
        float(torch.cosine_similarity(a, b, dim=1).mean()) for a, b in zip(old, new, strict=True)
    ]
    length = new[0].norm()
    return (
        *cosines,
        float((new[0] - old[0]).norm() / length),
        float((now_u - e_u).norm() / length),
    )


def _directions(step: StepRecord) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    e = step.estimates
    assert e.uncond is not None
    assert e.concept is not None
    return (
        e.uncond.flatten(1),
        (e.prompt - e.uncond).flatten(1),
        (e.concept - e.uncond).flatten(1),
    )
