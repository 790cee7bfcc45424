"""The same images as diffusers' own ``StableDiffusionPipelineSafe``, on the same weights and noise.

Its presets are given by number (its WEAK says s_S = 20 where the paper says 200), and its concept
opens with "an image showing".
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import PNDMScheduler

from safelatent import DEFAULT_CONCEPT, guard
from safelatent.guidance import PRESETS
from tests import tiny
from tests.peer import StableDiffusionPipelineSafe

STEPS = 30  # the fewest in which every preset acts
CONCEPT = f"an image showing {DEFAULT_CONCEPT}"
CASES = {
    "one": {"prompt": "a cat with a pistol"},
    "one, negative": {"prompt": "a cat with a pistol", "negative_prompt": "a dog"},
    "four, negative": {
        "prompt": ["a cat", "a dog at night", "the party", "blood"],
        "negative_prompt": ["a dog"] * 4,
    },
    "three images": {"prompt": "a pirate with a pistol", "num_images_per_prompt": 3},
}


# Every pair of scheduler and preset, and every case with either scheduler.
COMBINATIONS = [
    (scheduler, tolerance, preset, case)
    for s, (scheduler, tolerance) in enumerate([("DDIM", 1e-5), ("PNDM", 5e-4)])
    for p, preset in enumerate(PRESETS)
    for c, case in enumerate(CASES)
    if (s + p + c) % 4 == 0
]


def schedulers(kind: str):
    ddim = tiny.scheduler()
    return ddim if kind == "DDIM" else PNDMScheduler.from_config(ddim.config, skip_prk_steps=True)


@pytest.fixture(scope="module")
def pipelines():
    peer = tiny.pipeline(StableDiffusionPipelineSafe)
    peer._safety_text_concept = CONCEPT
    return tiny.pipeline(), peer


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:The decode_latents method is deprecated:FutureWarning"
)  # the peer's own
@pytest.mark.parametrize(("scheduler", "tolerance", "preset", "case"), COMBINATIONS)
def test_same_images_as_the_peer(pipelines, scheduler, tolerance, preset, case):
    ours, peer = pipelines
    ours.scheduler, peer.scheduler = schedulers(scheduler), schedulers(scheduler)
    sld = PRESETS[preset]
    prompts = CASES[case]["prompt"]
    rows = (len(prompts) if isinstance(prompts, list) else 1) * CASES[case].get(
        "num_images_per_prompt", 1
    )
    latents = torch.randn((rows, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    call = CASES[case] | {"num_inference_steps": STEPS, "output_type": "np"}
    expected = peer(
        **call,
        latents=latents.clone(),
        sld_guidance_scale=sld.scale,
        sld_warmup_steps=sld.warmup,
        sld_threshold=sld.threshold,
        sld_momentum_scale=sld.momentum,
        sld_mom_beta=sld.decay,
    ).images
    out = guard(ours, preset, concept=CONCEPT)(**call, latents=latents.clone())
    difference = np.abs(out.images - expected).max()
    assert difference <= tolerance, f"{scheduler}, {preset}, {case}: {difference}"
    assert len(out.receipts) == rows


def test_a_second_call_gives_the_same_images(pipelines):
    """Nothing of a call is left for the next one."""
    safe = guard(pipelines[0], "strong", concept=CONCEPT)
    latents = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    call = CASES["one"] | {"num_inference_steps": STEPS, "output_type": "np"}
    first, second = (safe(**call, latents=latents.clone()).images for _ in range(2))
    assert np.array_equal(first, second)
