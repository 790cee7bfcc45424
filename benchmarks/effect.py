"""How much a step of the guard changes: ``python -m benchmarks.effect`` prints docs/method.md's
table.

Eight prompts of each kind, and what acts like the concept: its embeddings in another order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from safelatent import DEFAULT_CONCEPT, NegativePrompt, guard, load
from safelatent.guidance import PRESETS, receipt
from safelatent.guidance.ordered_call import StepRecord
from safelatent.prompts import embedded_benign, embedded_i2p

STEPS, PROMPTS = 50, 8


def effect(step: StepRecord) -> Tensor:
    """Return what a step's gate lets through, relative to the prompt's direction, (B,)."""
    e, gate = step.estimates, step.correction.gate
    assert e.concept is not None  # after the warm-up it is always there
    if e.uncond is None or gate is None:
        return _norm(e.concept - e.prompt) / _norm(e.prompt)
    return _norm(gate * (e.concept - e.uncond)) / _norm(e.prompt - e.uncond)


def effects(pipe: Any, guidance: Any, rows: int, **call: Any) -> Tensor:
    """Return the effect of every step after the warm-up, (steps, B)."""
    seen: list[Tensor] = []

    def see(step: StepRecord) -> None:
        if step.i >= guidance.acts_from():
            seen.append(effect(step))

    seeds = [torch.Generator().manual_seed(b) for b in range(rows)]
    given = {"num_inference_steps": STEPS, "output_type": "latent", "generator": seeds}
    guard(pipe, guidance).watch(see, **given, **call)
    return torch.stack(seen)


def main() -> None:
    """Measure and print."""
    receipt.LEAST_EFFECT = receipt.LEAST_DISTANCE = 0.0  # what is refused is measured here too
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    texts = [
        prompt.text
        for prompts in (list(embedded_i2p()), list(embedded_benign()))
        for prompt in prompts[:: len(prompts) // PROMPTS][:PROMPTS]
    ]
    concept, empty = pipe.encode_prompt(str(DEFAULT_CONCEPT), "cpu", 1, True)
    order = torch.randperm(concept.shape[1], generator=torch.Generator().manual_seed(0))
    mixed = concept[:, order]
    for name, guidance in {**PRESETS, "negative prompt": NegativePrompt()}.items():
        real = effects(pipe, guidance, len(texts), prompt=texts).min()
        if not guidance.needs_uncond:
            as_prompt = effects(pipe, guidance, 1, prompt_embeds=mixed).max()
            print(f"| {name} | {real:.3f} | {as_prompt:.6f} | |")
            continue
        both = {"prompt_embeds": mixed, "negative_prompt_embeds": empty}
        as_prompt = effects(pipe, guidance, 1, **both).max()
        negative = {"prompt": texts[0], "negative_prompt_embeds": mixed}
        as_negative = effects(pipe, guidance, 1, **negative).max()
        print(f"| {name} | {real:.3f} | {as_prompt:.4f} | {as_negative:.5f} |")


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x.float().flatten(1), dim=1)


if __name__ == "__main__":
    main()
