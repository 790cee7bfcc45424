from __future__ import annotations

import pytest
import torch

from safelatent.errors import BadValueError, GuardError, NotGuardedError, UnsupportedError
from safelatent.guidance import EXACT, MAX, MEDIUM, PRESETS, SLD, WEAK, NoiseLevel, Plan
from tests.comfyui import comfy_stand_in as stand_in

SIGMAS = [14.6, 8.0, 4.0, 2.0, 1.0, 0.5, 0.0]


@pytest.fixture
def run(part):
    def make(guidance=MAX, sigmas=SIGMAS, kind="epsilon", rows=1, plan=EXACT):
        sampling = stand_in.KINDS[kind]()
        return part("run").SamplingRun(guidance, sigmas, sampling, rows, 7.5, plan)

    return make


def latents(seed: int, rows: int = 1) -> torch.Tensor:
    return torch.randn((rows, 4, 4, 4), generator=torch.Generator().manual_seed(seed))


def look(run, sigma: float, seed: int) -> torch.Tensor:
    return run.guided(sigma, latents(seed), latents(seed + 1), latents(seed + 2))[0]


@pytest.mark.parametrize(
    ("sigma", "step"),
    [
        (20.0, 0),
        (14.6, 0),
        (14.6 * (1 + 1e-7), 0),
        (8.1, 0),
        (8.0, 1),
        (8.0 * (1 + 1e-7), 1),
        (8.0 * (1 - 1e-7), 1),
        (0.5, 5),
        (0.001, 5),
    ],
)
def test_a_sigma_lies_in_a_step(run, sigma, step):
    assert run().step(sigma) == step


@pytest.mark.parametrize(
    "looks",
    [
        [
            (14.6, 0),
            (8.0, 9),
            (8.0, 1),
            (4.0, 9),
            (4.0, 2),
            (2.0, 3),
        ],  # Heun: first a guess, then the point itself
        [(14.6, 0), (11.0, 9), (8.0, 1), (6.0, 9), (4.0, 2), (2.0, 3)],  # between the steps
        [
            (14.6, 0),
            (8.0, 9),
            (4.0, 9),
            (8.0, 1),
            (4.0, 9),
            (2.0, 9),
            (4.0, 2),
            (2.0, 3),
        ],  # two steps ahead and back
    ],
    ids=["guess", "between", "ahead and back"],
)
def test_the_momentum_is_that_of_looking_once_at_each_step(run, looks):
    plain, other = run(), run()
    expected = [
        look(plain, sigma, seed) for sigma, seed in [(14.6, 0), (8.0, 1), (4.0, 2), (2.0, 3)]
    ]
    found = [look(other, sigma, seed) for sigma, seed in looks]
    assert torch.equal(expected[-1], found[-1])
    assert len(other._momenta) <= 3


def test_every_look_at_a_step_uses_the_momentum_of_its_start(run):
    one = run()
    look(one, 14.6, 0)
    first = look(one, 8.0, 1)
    assert torch.equal(first, look(one, 8.0, 1))
    assert not torch.equal(first, look(run(), 8.0, 1)), "the momentum matters"


def test_a_sampler_with_sigmas_of_its_own_moves_the_momentum_once_a_step(run):
    own, plain = run(), run(sigmas=[14.0, 7.0, 3.0, 0.0])
    for seed, sigma in enumerate([14.0, 7.0, 3.0]):
        assert torch.equal(look(own, sigma, seed), look(plain, sigma, seed))
    assert torch.equal(look(own, 2.9, 9), look(own, 2.9, 9))


def test_the_warm_up_is_left_alone_to_the_bit_and_remembered(run):
    late = SLD(warmup=2, scale=5000, threshold=1.0, momentum=0.5, decay=0.7)
    one, without = run(late), run(late)
    for seed, sigma in enumerate(SIGMAS[:2]):
        assert torch.equal(look(one, sigma, seed), latents(seed))
    assert not torch.equal(look(one, 4.0, 2), look(without, 4.0, 2))


def test_the_concept_is_not_needed_where_nothing_of_it_is_kept(run):
    one = run(WEAK, [float(s) for s in range(30, -1, -1)])
    sources = [one.look(sigma).concept for sigma in range(30, 0, -1)]
    assert sources == ["unused"] * 15 + ["evaluated"] * 15


def test_what_is_to_be_reused_is_evaluated_where_nothing_was(run):
    plan = Plan(concept=3, uncond=2)
    one = run(plan=plan)
    assert [(one.look(s).uncond, one.look(s).concept) for s in SIGMAS[1:3]] == [
        ("evaluated", "evaluated")
    ] * 2
    look(one, 14.6, 0)
    assert [(one.look(s).uncond, one.look(s).concept) for s in SIGMAS[1:5]] == [
        ("reused", "reused"),
        ("evaluated", "reused"),
        ("evaluated", "evaluated"),
        ("reused", "reused"),
    ]


def test_a_plan_that_decides_for_each_image_is_refused(run):
    with pytest.raises(UnsupportedError, match=r"'either=2'.*for all images of a batch"):
        run(plan=Plan(either=2))


def test_a_reused_direction_is_that_of_the_last_evaluation(run):
    one = run(plan=Plan(concept=2, uncond=2))
    u, p, s = (latents(seed) for seed in range(3))
    one.guided(14.6, p, u, s)
    p2 = latents(9)
    same = run()
    same.guided(14.6, p, u, s)
    scale = 14.6 / 8.0  # of the two steps' predictions, of which x0 is the multiple
    u2 = p2 - (p - u) / scale
    expected = same.guided(8.0, p2, u2, u2 + (s - u) / scale)
    found = one.guided(8.0, p2, None, None)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_guidance_that_ended_leaves_the_prompt_alone(run):
    one = run(plan=Plan(until=NoiseLevel(0.6)))
    for seed, sigma in enumerate(SIGMAS[:-1]):
        source = one.look(sigma)
        if source.guided:
            look(one, sigma, seed)
        else:
            p = latents(seed)
            found = one.guided(sigma, p, None, None)
            assert torch.equal(found[0], p)
            assert torch.equal(found[1], p)
    receipt = one.finish("x")[0]
    guided = sum(one.look(sigma).guided for sigma in SIGMAS[:-1])
    assert 0 < guided < 6
    assert (receipt.guided_steps, receipt.evaluations) == (guided, 3 * guided + 6 - guided)
    assert receipt.plan == "until=0.6"


@pytest.mark.parametrize(("kind", "level"), [("epsilon", 2 / 3), ("flow", 0.65)])
def test_a_warm_up_by_noise_level(run, kind, level):
    sigmas = [1.0, 0.7, 0.65, 0.2, 0.0] if kind == "flow" else SIGMAS
    one = run(SLD(warmup=NoiseLevel(level)), sigmas, kind)
    assert one.guidance.acts_from() == (2 if kind == "flow" else 3)


@pytest.mark.parametrize("name", PRESETS)
def test_by_noise_level_the_papers_own_run_has_the_papers_warm_up(run, name):
    alphas = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, dim=0)
    sigmas = [*((1 - alphas) / alphas)[torch.arange(981, 0, -20)].sqrt().tolist(), 0.0]
    assert run(PRESETS[name].by_noise_level(), sigmas).guidance.acts_from() == PRESETS[name].warmup


@pytest.mark.parametrize(
    ("guidance", "sigmas", "steps"),
    [
        (MEDIUM, SIGMAS, 6),
        (SLD(warmup=4), [*SIGMAS[3:], 0.0], 4),
        (MAX, [], 0),
        (MAX, [1.0], 0),
        (WEAK, list(range(15, -1, -1)), 15),
    ],
)
def test_a_run_with_too_few_guided_steps_is_refused(run, guidance, sigmas, steps):
    with pytest.raises(
        NotGuardedError, match=f"the warm-up is {guidance.warmup} steps and the call has {steps}"
    ):
        run(guidance, sigmas)


@pytest.mark.parametrize("sigmas", [SIGMAS[::-1], [2.0, 1.0, 1.5, 0.0], [float("nan"), 1.0, 0.0]])
def test_rising_sigmas_are_refused(run, sigmas):
    with pytest.raises(BadValueError, match="the sigmas rise"):
        run(MAX, sigmas)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("bad", ["uncond", "prompt", "concept"])
@pytest.mark.parametrize("guidance", [MAX, SLD(warmup=3)], ids=["guided", "warm-up"])
def test_what_is_not_finite_is_refused(run, guidance, bad, value):
    predictions = {"prompt": latents(0), "uncond": latents(1), "concept": latents(2)}
    predictions[bad][0, 0, 0, 0] = value
    one = run(guidance)
    one.guided(14.6, **predictions)
    with pytest.raises(GuardError, match=r"estimate at sigma 14.6 is not finite"):
        one.finish("x")


def test_an_image_that_no_step_changed_is_refused(run):
    one = run()
    with pytest.raises(NotGuardedError, match="no step changed"):
        one.finish("x")
    one = run(rows=2)
    both = latents(0, rows=2)
    concept = torch.cat([both[:1], latents(5)])  # the first row's prompt and concept are one
    for sigma in SIGMAS[:-1]:
        one.guided(sigma, both, latents(1, rows=2), concept)
    with pytest.raises(NotGuardedError, match="no step changed image 0"):
        one.finish("x")


def test_a_receipt_per_image(run):
    one = run(rows=2)
    for seed, sigma in enumerate(SIGMAS[:-1]):
        one.guided(
            sigma, latents(seed, rows=2), latents(seed + 1, rows=2), latents(seed + 2, rows=2)
        )
    receipts = one.finish("weapons")
    assert [(r.safety, r.concept, r.guided_steps, r.steps) for r in receipts] == [
        ("max", "weapons", 6, 6)
    ] * 2


def test_an_image_that_was_hardly_changed_is_refused(run):
    """The concept's prediction is the prompt's but for rounding."""
    one, prompt = run(), latents(0)
    for sigma in SIGMAS[:-1]:
        one.guided(sigma, prompt, latents(1), prompt + 1e-7 * latents(2))
    with pytest.raises(NotGuardedError, match="changed next to nothing of image 0"):
        one.finish("x")
