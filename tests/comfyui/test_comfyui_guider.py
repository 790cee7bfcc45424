"""The guider over the stand-in: against ``safelatent.guard`` on the same weights, and against the
paper's equations for every kind.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from safelatent import DEFAULT_CONCEPT, guard
from safelatent.errors import BadValueError, GuardError, NotGuardedError, UnsupportedError
from safelatent.guidance import MAX, PRESETS, SLD, Plan
from tests import tiny
from tests.comfyui import comfy_paper as paper
from tests.comfyui import comfy_stand_in as stand_in

CFG = 7.5
VARIANCE_EXPLODING = torch.tensor([12.0, 6.0, 3.0, 1.5, 0.8, 0.3, 0.0])
FLOW = torch.tensor([1.0, 0.9, 0.75, 0.5, 0.3, 0.1, 0.0])
SHORT = {
    "medium": SLD(warmup=2, scale=1000, threshold=0.01, momentum=0.3, decay=0.4),
    "max": SLD(warmup=0, scale=5000, threshold=1.0, momentum=0.5, decay=0.7),
}
TEXTS = dict(
    zip(
        ("positive", "negative", "concept"),
        torch.randn((3, 1, 4), generator=torch.Generator().manual_seed(7)),
        strict=True,
    )
)


def predict(x: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
    """A model without weights, that minds its latents, its sigma and its text."""
    return torch.sin(x / (1 + sigma.view(-1, 1, 1, 1)) + text.view(1, 4, 1, 1))


def start(rows: int = 2, seed: int = 0) -> Tensor:
    return torch.randn((rows, 4, 8, 8), generator=torch.Generator().manual_seed(seed))


def conditioning(text: Tensor | None, **extra: Any) -> list[Any]:
    return [[text, extra]]


def guider(
    nodes: ModuleType,
    patcher: Any = None,
    guidance: SLD = MAX,
    texts: dict[str, Tensor] = TEXTS,
    cfg: float = CFG,
    plan: str = "exact",
) -> Any:
    made = nodes.SafeGuider(patcher or stand_in.Patcher(predict), guidance, Plan.parse(plan))
    made.set_conds(*(conditioning(texts[name]) for name in ("positive", "negative", "concept")))
    made.set_cfg(cfg)
    return made


def sample(made: Any, noise: Tensor, sigmas: Tensor, sampler: Any = stand_in.euler) -> Tensor:
    return made.sample(noise, torch.zeros_like(noise), sampler, sigmas, seed=1)


# Every preset, and with either kind a short warm-up and a long one.
KINDS = dict(zip(PRESETS, ["epsilon", "v_prediction", "v_prediction", "epsilon"], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "kind", "plan"),
    [*((*one, "exact") for one in KINDS.items()), ("strong", "v_prediction", "fast")],
)
def test_same_latents_as_the_guard(nodes, preset, kind, plan, caplog):
    """DDIM in the pipeline's latents is Euler in latents divided by alpha."""
    caplog.set_level("INFO", "safelatent")
    pipe = tiny.pipeline(scheduler=tiny.scheduler(prediction_type=kind))
    prompts, noise = ["a cat with a pistol", "the party at night"], start()
    expected = guard(pipe, preset, plan=plan)(
        prompts,
        num_inference_steps=30,
        guidance_scale=CFG,
        latents=noise.clone(),
        output_type="latent",
    )
    alphas = pipe.scheduler.alphas_cumprod
    ladder = ((1 - alphas) / alphas).sqrt()
    sigmas = torch.cat([ladder[pipe.scheduler.timesteps], ladder[:1]])

    @torch.no_grad()
    def unet(x: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
        timestep = (ladder - sigma[0]).abs().argmin()
        return pipe.unet(
            x / (1 + sigma[0] ** 2).sqrt(), timestep, encoder_hidden_states=text
        ).sample

    def encode(text: list[str]) -> Tensor:
        with torch.no_grad():
            return pipe.encode_prompt(text, "cpu", 1, False)[0]

    texts = {
        "positive": encode(prompts),
        "negative": encode(["", ""]),
        "concept": encode([str(DEFAULT_CONCEPT)] * 2),
    }
    made = guider(nodes, stand_in.Patcher(unet, kind), PRESETS[preset], texts, plan=plan)
    found = (
        sample(made, noise / alphas[pipe.scheduler.timesteps[0]].sqrt(), sigmas) * alphas[0].sqrt()
    )
    difference = (found - expected.images).abs().max().item()
    assert difference <= 1e-3, f"{kind}, {preset}: {difference}"
    counts = [(r.evaluations, r.guided_steps, r.plan) for r in made.receipts]
    assert counts == [(r.evaluations, r.guided_steps, r.plan) for r in expected.receipts]
    assert sum(made.model_patcher.model.batches) == counts[0][0]
    assert f"of 30 steps, {counts[0][0]} evaluations" in caplog.text


@pytest.mark.parametrize("sampler", ["euler", "heun", "midpoint"])
@pytest.mark.parametrize("preset", SHORT)
@pytest.mark.parametrize("kind", stand_in.KINDS)
def test_the_papers_equations_in_every_kind_and_order(nodes, kind, preset, sampler):
    """In double precision: this model has no mercy on rounding, and the gate is a step."""
    sigmas = (FLOW if kind == "flow" else VARIANCE_EXPLODING).double()
    noise, texts = (
        start().double() * sigmas[0],
        {name: text.double() for name, text in TEXTS.items()},
    )
    expected = getattr(paper, sampler)(
        paper.Reference(predict, kind, texts, SHORT[preset], CFG), noise, sigmas
    )
    made = guider(nodes, stand_in.Patcher(predict, kind), SHORT[preset], texts)
    found = sample(made, noise, sigmas, getattr(stand_in, sampler))
    assert (found - expected).abs().max() <= 1e-9 * expected.abs().max()


def test_in_the_warm_up_it_is_plain_guidance_to_the_bit(nodes):
    late = SLD(warmup=3, scale=5000, threshold=1.0, momentum=0.5, decay=0.7)
    seen: dict[str, list[Tensor]] = {"guarded": [], "plain": []}
    made = guider(nodes, guidance=late)
    plain = stand_in.CFGGuider(made.model_patcher)
    plain.original_conds, plain.cfg = made.original_conds, CFG
    for name, one in (("guarded", made), ("plain", plain)):
        one.model_options = {
            "sampler_post_cfg_function": [
                lambda args, name=name: seen[name].append(args["denoised"]) or args["denoised"]
            ]
        }
        sample(one, start() * 12, VARIANCE_EXPLODING)
    same = [torch.equal(a, b) for a, b in zip(seen["guarded"], seen["plain"], strict=True)]
    assert same == [True] * 3 + [False] * 3


def test_a_run_in_which_the_gate_never_opened_is_refused(nodes):
    """The prompt's noise is above the concept's everywhere, so that nothing is taken from it."""
    made = guider(
        nodes,
        stand_in.Patcher(
            lambda x, sigma, text: x / (1 + sigma.view(-1, 1, 1, 1)) + text.view(1, 4, 1, 1)
        ),
        SHORT["medium"],
    )
    made.set_conds(*(conditioning(torch.full((1, 4), value)) for value in (0.3, 0.0, 0.1)))
    with pytest.raises(NotGuardedError, match="no step changed"):
        sample(made, start() * 12, VARIANCE_EXPLODING)


def test_three_prompts_are_one_evaluation_and_two_where_the_concept_is_not_needed(nodes):
    weak = SLD(warmup=3, scale=200, threshold=0.0, momentum=0.0, decay=0.0)
    made = guider(nodes, guidance=weak)
    sample(made, start() * 12, VARIANCE_EXPLODING)
    assert made.model_patcher.model.batches == [2, 2, 2, 3, 3, 3]


def test_a_run_leaves_nothing_for_the_next_one(nodes):
    made, noises = guider(nodes), [start(seed=n) * 12 for n in range(2)]
    alone = [sample(guider(nodes), noise, VARIANCE_EXPLODING) for noise in noises]
    assert [
        torch.equal(sample(made, noises[n], VARIANCE_EXPLODING), alone[n]) for n in (0, 1, 1, 0)
    ] == [True] * 4


def test_an_interrupted_run_leaves_nothing_either(nodes):
    made, noise = guider(nodes), start() * 12

    def interrupted(model, x, sigmas):
        stand_in.euler(model, x, sigmas[:4])
        raise KeyboardInterrupt

    expected = sample(made, noise, VARIANCE_EXPLODING)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            sample(made, noise, VARIANCE_EXPLODING, interrupted)
    assert torch.equal(sample(made, noise, VARIANCE_EXPLODING), expected)


def test_a_run_within_a_run_is_refused(nodes):
    made, noise = guider(nodes), start() * 12
    with pytest.raises(GuardError, match="in the middle of another run"):
        sample(made, noise, VARIANCE_EXPLODING, lambda model, x, sigmas: sample(made, x, sigmas))


def test_a_prediction_outside_of_a_run_is_refused(nodes):
    with pytest.raises(GuardError, match="outside of a sampling run"):
        guider(nodes)(start(), torch.ones(2), {})


def test_a_sampler_that_asks_for_nothing_is_refused(nodes):
    with pytest.raises(NotGuardedError, match="no step changed"):
        sample(guider(nodes), start(), VARIANCE_EXPLODING, lambda model, x, sigmas: x)


def test_patches_of_the_guidance_see_the_corrected_prompt(nodes):
    """One before the combination that swaps nothing but looks, one after it that rescales."""
    seen: list[Any] = []

    def before(args):
        seen.append(args)
        return args["conds_out"]

    options = {
        "sampler_pre_cfg_function": [before],
        "sampler_post_cfg_function": [lambda args: 0.5 * args["denoised"]],
    }
    noise = start() * 12
    sample(guider(nodes, stand_in.Patcher(predict, **options)), noise, VARIANCE_EXPLODING)
    prompt, uncond = seen[0]["conds_out"]
    one = paper.Reference(
        predict, "epsilon", TEXTS, MAX, 1.0
    )  # at scale 1 the guided prediction is the corrected prompt's
    assert torch.allclose(prompt, one.at(noise, VARIANCE_EXPLODING[0], 0), atol=1e-4)
    assert torch.allclose(
        uncond,
        noise - 12 * predict(noise, torch.tensor([12.0, 12.0]), TEXTS["negative"]),
        atol=1e-5,
    )
    assert {len(seen), seen[0]["cond_scale"], len(seen[0]["conds"])} == {6, CFG, 2}


def test_patches_that_evaluate_the_prompts_themselves_are_refused(nodes):
    made = guider(
        nodes, stand_in.Patcher(predict, sampler_calc_cond_batch_function=lambda args: None)
    )
    with pytest.raises(UnsupportedError, match="evaluates the prompts itself"):
        sample(made, start(), VARIANCE_EXPLODING)


@pytest.mark.parametrize("cfg", [1.0, 0.0, -3.0, float("nan"), float("inf")])
def test_guidance_that_is_off_is_refused_at_the_node_and_at_the_run(nodes, cfg):
    with pytest.raises(NotGuardedError, match=f"cfg is {cfg}"):
        guider(nodes, cfg=cfg)
    made = guider(nodes)
    made.cfg = cfg
    with pytest.raises(NotGuardedError, match=f"cfg is {cfg}"):
        sample(made, start(), VARIANCE_EXPLODING)


@pytest.mark.parametrize(
    ("concept", "message"),
    [
        ([], "is empty"),
        (conditioning(None), "is empty"),
        (conditioning(torch.zeros(1, 4)), "is empty"),
        (conditioning(TEXTS["concept"], area=(8, 8, 0, 0)), "has area"),
        (conditioning(TEXTS["concept"], mask=torch.ones(1, 8, 8)), "has mask"),
        (
            conditioning(TEXTS["concept"], start_percent=0.2, end_percent=0.8),
            "has start_percent, end_percent",
        ),
    ],
    ids=["no entry", "no text", "zeros", "area", "mask", "times"],
)
def test_a_concept_that_says_nothing_or_not_everywhere_is_refused(nodes, concept, message):
    made = nodes.SafeGuider(stand_in.Patcher(predict), MAX)
    with pytest.raises(BadValueError, match=f"the concept's conditioning {message}"):
        made.set_conds(conditioning(TEXTS["positive"]), conditioning(TEXTS["negative"]), concept)


@pytest.mark.parametrize("name", ["positive", "negative"])
def test_a_prompt_that_is_the_concept_or_nothing_is_refused(nodes, name):
    made = nodes.SafeGuider(stand_in.Patcher(predict), MAX)
    conds = {key: conditioning(text) for key, text in TEXTS.items()}
    with pytest.raises(NotGuardedError, match="prompt is the concept itself"):
        made.set_conds(**(conds | {name: conditioning(TEXTS["concept"] * (1 + 1e-5))}))
    with pytest.raises(BadValueError, match="prompt's conditioning is empty"):
        made.set_conds(**(conds | {name: []}))


def test_what_stands_beside_the_prompt_stands_beside_the_concept(nodes):
    made = nodes.SafeGuider(stand_in.Patcher(predict), MAX)
    pooled = {key: torch.full((1, 2), float(n)) for n, key in enumerate(TEXTS)}
    left, right = (
        {"area": (8, 4, 0, 0), "control": "net"},
        {"area": (8, 4, 0, 4), "start_percent": 0.1},
    )
    made.set_conds(
        [
            [TEXTS["positive"], left | {"pooled_output": pooled["positive"]}],
            [TEXTS["positive"], right | {"pooled_output": pooled["positive"]}],
        ],
        conditioning(TEXTS["negative"]),
        conditioning(TEXTS["concept"], pooled_output=pooled["concept"]),
    )
    text = {"cross_attn": TEXTS["concept"], "pooled_output": pooled["concept"]}
    assert made.original_conds["concept"] == [left | text, right | text]
