"""The call that a pipeline's guiders share, without a pipeline."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler
from torch import nn

from safelatent.concepts import Concept
from safelatent.errors import GuardError, NotGuardedError
from safelatent.guidance import MAX, Estimates, NegativePrompt
from safelatent.pipelines.modular.run import ModularCall, WatchedDenoiser
from tests.syncs import syncs

STEPS = 4
CONCEPT_TEXT = torch.full((1, 3, 2), 5.0)


def text(seed: int, rows: int = 2) -> torch.Tensor:
    return torch.randn((rows, 3, 2), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def scheduler():
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(STEPS)
    return scheduler


@pytest.fixture
def run(scheduler):
    def make(guidance=MAX) -> ModularCall:
        concept = Concept.parse("weapons")
        made = ModularCall(guidance, concept, scheduler, {}, lambda: scheduler.timesteps)
        made.text = {"prompt_embeds": CONCEPT_TEXT}
        return made

    return make


def step(run: ModularCall, i: int, prompt=None, negative=None, steps: int | None = STEPS) -> None:
    prompt, negative = (
        (text(1) if prompt is None else prompt),
        (text(2) if negative is None else negative),
    )
    run.under_way(float(run.scheduler.timesteps[i]), prompt, negative, steps)
    noise = torch.Generator().manual_seed(i)
    u, p, s = (torch.randn((2, 4, 3, 3), generator=noise) for _ in range(3))
    run.correct(Estimates(uncond=u, prompt=p, concept=s), 7.5)


def test_a_receipt_per_image(run):
    call = run()
    for i in range(STEPS):
        step(call, i)
    receipts = call.receipts()
    assert [(r.guided_steps, r.steps, r.evaluations, r.concept) for r in receipts] == [
        (STEPS, STEPS, 3 * STEPS, "weapons")
    ] * 2


def test_a_call_that_never_began_has_none(run):
    with pytest.raises(NotGuardedError, match="saw 0 evaluations"):
        run().receipts()


@pytest.mark.parametrize("name", ["prompt", "negative"])
def test_the_concept_is_refused_at_every_step(run, name):
    call = run()
    step(call, 0)
    with pytest.raises(NotGuardedError, match=rf"the {name}.* is the concept itself"):
        step(call, 1, **{name: CONCEPT_TEXT.expand(2, 3, 2)})


def test_for_the_baseline_the_negative_prompt_is_the_concept(run):
    call = run(NegativePrompt())
    step(call, 0, negative=CONCEPT_TEXT.expand(2, 3, 2))
    with pytest.raises(NotGuardedError, match="the prompt is the concept itself"):
        step(call, 1, prompt=CONCEPT_TEXT.expand(2, 3, 2))


@pytest.mark.parametrize("name", ["prompt", "negative"])
def test_rows_stay_what_they_were(run, name):
    call = run()
    step(call, 0)
    with pytest.raises(NotGuardedError, match="the batch changed in the middle"):
        step(call, 1, **{name: text(3, rows=4)})


def test_steps_are_the_schedulers(run):
    call = run()
    step(call, 0)
    with pytest.raises(GuardError, match=r"step 1 is at timestep .* out of the scheduler's order"):
        step(call, 2)


def test_a_step_out_of_order_on_a_device_is_found_at_the_end(run):
    """A timestep that is a tensor is not read in the step."""
    call, prompt, negative = run(), text(1), text(2)
    for i in (0, 1, 1, 3):
        timestep = call.scheduler.timesteps[i]
        with syncs() as counted:
            call.under_way(timestep, prompt, negative, STEPS)
        assert i == 0 or not counted
        noise = torch.Generator().manual_seed(i)
        u, p, s = (torch.randn((2, 4, 3, 3), generator=noise) for _ in range(3))
        call.correct(Estimates(uncond=u, prompt=p, concept=s), 7.5)
    with pytest.raises(GuardError, match="step 2 is out of the scheduler's order"):
        call.receipts()


def test_guiders_that_end_early_are_refused(run):
    with pytest.raises(NotGuardedError, match="DDIMScheduler evaluates 4 times in 3 steps"):
        step(run(), 0, steps=3)
    step(run(), 0, steps=None)


def test_a_watched_denoiser_shows_its_latents():
    class Denoiser(nn.Module):
        config = "theirs"

        def forward(self, x, **_):
            return x

    seen: list[torch.Tensor] = []
    watched = WatchedDenoiser(Denoiser(), seen.append)
    latents = torch.ones(2, 4)
    watched(latents)
    watched(x=list(latents))
    watched(x=None, hidden_states=latents)
    assert watched.config == "theirs"
    assert all(torch.equal(one, latents) for one in seen)
    assert len(seen) == 3
