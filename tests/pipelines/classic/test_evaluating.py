"""Which calls of the denoiser a step makes: joined or apart, one for two, and compiled once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from safelatent import DEFAULT_CONCEPT, MAX, SLD, BadValueError, UnsupportedError, guard
from safelatent.guidance import Estimates, classifier_free, receipt
from safelatent.guidance.evaluations import OVERDUE
from safelatent.pipelines.classic import evaluating
from tests import tiny
from tests.pipelines.classic import tiny_families
from tests.syncs import syncs

STEPS = 10
PROMPTS = ["a cat with a pistol", "a dog"]
SETTINGS = SLD(warmup=2, scale=3.0, threshold=0.003, momentum=0.4, decay=0.6)
FAMILIES = ["sd", *tiny_families.KINDS]


@pytest.fixture(autouse=True)
def _any_effect(monkeypatch):
    """With random weights the words matter little, and these settings change next to nothing."""
    monkeypatch.setattr(receipt, "LEAST_EFFECT", 0.0)


def noise(rows: int) -> Tensor:
    return torch.randn((rows, 4, 8, 8), generator=torch.Generator().manual_seed(1))


def call(pipeline: Any, **changes: Any) -> Any:
    given = {"prompt": PROMPTS, "num_inference_steps": STEPS, "output_type": "latent"}
    return pipeline(**(given | changes))


@torch.no_grad()
def by_hand(pipe: Any, sld: SLD, latents: Tensor) -> tuple[Tensor, list[list[bool]]]:
    """The loop for one image after the other, and at which steps the concept was evaluated."""
    embed = lambda text: pipe.encode_prompt(text, "cpu", 1, False)[0]  # noqa: E731
    found, chosen = [], []
    for text, x in zip(PROMPTS, latents.split(1), strict=True):
        empty, prompt, concept = (embed(t) for t in ("", text, str(DEFAULT_CONCEPT)))
        pipe.scheduler.set_timesteps(STEPS)
        state, value, turn, age = sld.init(x), {}, {}, {}
        chosen.append([])
        for i, t in enumerate(pipe.scheduler.timesteps):
            of = lambda words, x=x, t=t: pipe.unet(x, t, words).sample  # noqa: E731
            p = of(prompt)
            if i == 0:
                u, s = of(empty), of(concept)
                value = {"p": p - u, "s": s - p}
                turn = {name: float(one.norm()) for name, one in value.items()}
                age = {"p": 0, "s": 0}
            else:
                off = {name: turn[name] * (age[name] + 1) for name in value}
                which = "s" if off["s"] > off["p"] else "p"
                late = [name for name in ("p", "s") if age[name] == OVERDUE - 1]
                which = late[0] if late else which
                u = p - value["p"] if which == "s" else of(empty)
                s = of(concept) if which == "s" else p + value["s"]
                new = s - p if which == "s" else p - u
                turn[which] = float((new - value[which]).norm()) / (age[which] + 1)
                age = {name: 0 if name == which else age[name] + 1 for name in age}
                value[which] = new
                chosen[-1].append(which == "s")
            correction, state = sld.correct(Estimates(uncond=u, prompt=p, concept=s), state, i)
            x = pipe.scheduler.step(classifier_free(correction, 7.5), t, x).prev_sample
        found.append(x)
    return torch.cat(found), chosen


def test_one_evaluation_serves_both_as_the_loop_written_out():
    pipe, latents = tiny.pipeline().to(torch.float64), noise(2).double()
    expected, chosen = by_hand(pipe, SETTINGS, latents)
    assert {True, False} == set(chosen[0]) == set(chosen[1])
    assert chosen[0] != chosen[1], "each image decides for itself"
    out = call(guard(pipe, SETTINGS, plan="either=1"), latents=latents)
    torch.testing.assert_close(out.images, expected, atol=1e-6, rtol=0)
    assert [r.evaluations for r in out.receipts] == [2 * STEPS + 1] * 2


@pytest.mark.parametrize("family", ["sd", "sd3", "flux"])
def test_a_hook_of_torchs_on_the_denoiser_sees_what_is_evaluated_and_no_more(family):
    """As one counts from outside. The first call encodes the concept, which evaluates nothing."""
    pipe = tiny.pipeline() if family == "sd" else tiny_families.build(*tiny_families.KINDS[family])
    denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    before: list[int] = []
    after: list[int] = []

    def asked(_: Any, args: Any, kwargs: Any) -> None:
        before.append(len(args[0] if args else kwargs["hidden_states"]))

    denoiser.register_forward_pre_hook(asked, with_kwargs=True)
    denoiser.register_forward_hook(lambda _, __, made: after.append(len(made[0])))
    size = {} if family == "sd" else tiny_families.CALLS[family]
    for plan, expected in (("exact", 3 * STEPS), ("concept=3,uncond=2", STEPS + 4 + 7)):
        before.clear()
        after.clear()
        given = {"prompt": PROMPTS[:1], "num_inference_steps": STEPS, "output_type": "latent"}
        out = guard(pipe, SETTINGS, plan=plan)(**(given | size))
        assert sum(before) == sum(after) == out.receipts[0].evaluations == expected


def kept(a: Estimates, b: Estimates) -> Tensor:
    """Which of the two directions stayed as they were, (2, B)."""
    found = []
    for name in ("uncond", "concept"):
        one, other = (getattr(e, name) - e.prompt for e in (a, b))
        found.append((one - other).abs().flatten(1).amax(dim=1) < 1e-5)
    return torch.stack(found)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_evaluation_serves_both_on_every_family(family, monkeypatch):
    pipe = tiny.pipeline() if family == "sd" else tiny_families.build(*tiny_families.KINDS[family])
    denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    rows, seen, forward = [], [], type(denoiser).forward

    def counted(module: Any, *args: Any, **kwargs: Any) -> Any:
        rows.append(len(args[0] if args else kwargs["hidden_states"]))
        return forward(module, *args, **kwargs)

    monkeypatch.setattr(type(denoiser), "forward", counted)
    size = {"latents": noise(2)} if family == "sd" else tiny_families.CALLS[family]
    seeds = [torch.Generator().manual_seed(b) for b in range(2)]
    out = guard(pipe, SETTINGS, plan="either=1").watch(
        seen.append,
        prompt=PROMPTS,
        num_inference_steps=STEPS,
        output_type="latent",
        **({"generator": seeds} | size),
    )
    assert out.receipts[0].evaluations == 2 * STEPS + 1
    assert sum(rows) == 2 * (2 * STEPS + 1)
    for before, step in pairwise(seen):
        assert kept(before.estimates, step.estimates).sum(dim=0).tolist() == [1, 1]


def test_texts_of_other_shapes_cannot_share_an_evaluation():
    pipe = tiny.pipeline()
    embeds, empty = pipe.encode_prompt(PROMPTS[0], "cpu", 1, True)
    given = {
        "prompt": None,
        "prompt_embeds": torch.cat([embeds, embeds], dim=1),
        "negative_prompt_embeds": torch.cat([empty, empty], dim=1),
    }
    with pytest.raises(UnsupportedError, match="one evaluation cannot serve both"):
        call(guard(pipe, MAX, plan="either=1"), **given)


def test_no_step_waits_where_one_evaluation_serves_both():
    pipe = tiny.pipeline()

    def reads(pipeline: Any, steps: int) -> int:
        with syncs() as counted:
            call(pipeline, num_inference_steps=steps)
        return len(counted)

    safe = guard(pipe, "max", plan="either=1")
    plain, guarded = (reads(p, 12) - reads(p, 8) for p in (pipe, safe))
    assert guarded == plain


def batches(pipe: Any, safe: Any, images: int) -> list[int]:
    """How many rows each call of the denoiser has, of a call of two steps."""
    rows: list[int] = []
    handle = pipe.unet.conv_out.register_forward_hook(
        lambda _, given, __: rows.append(len(given[0]))
    )
    call(safe, prompt=["a cat"] * images, num_inference_steps=2)
    handle.remove()
    return rows


def test_the_concept_joins_the_batch_of_few_positions():
    """8 x 8 positions per image."""
    pipe = tiny.pipeline()
    default = evaluating.JOINED_UP_TO["cpu"] // 64
    assert batches(pipe, guard(pipe, "max"), default) == [3 * default] * 2
    assert batches(pipe, guard(pipe, "max"), default + 1) == [2 * default + 2, default + 1] * 2
    assert batches(pipe, guard(pipe, "max", joined_up_to=0), 1) == [2, 1] * 2
    assert batches(pipe, guard(pipe, "max", joined_up_to=128), 2) == [6, 6]
    assert batches(pipe, guard(pipe, "max", joined_up_to=128), 3) == [6, 3] * 2
    with pytest.raises(BadValueError, match="joined_up_to is -1; it must be a whole number"):
        guard(pipe, "max", joined_up_to=-1)


@pytest.mark.parametrize(("way", "images"), [("in place", 1), ("wrapped", 2)])
def test_a_compiled_denoiser_is_compiled_for_two_shapes(way, images):
    """Whatever the plan leaves out. Nothing of the guard is traced; the latents are the same."""
    torch._dynamo.reset()
    graphs: list[Any] = []

    def backend(graph: Any, _given: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    pipe = tiny.pipeline()
    given = {"prompt": PROMPTS[:images], "latents": noise(images)}
    plans = ["exact", "concept=3,uncond=2,until=0.5"]
    expected = [call(guard(pipe, "max", plan=p, joined_up_to=0), **given).images for p in plans]
    if way == "in place":
        pipe.unet.compile(backend=backend)
    else:
        pipe.unet = torch.compile(pipe.unet, backend=backend)
    for plan, latents in zip(plans, expected, strict=True):
        out = call(guard(pipe, "max", plan=plan), **given)
        torch.testing.assert_close(out.images, latents, atol=1e-4, rtol=1e-4)
        assert len(graphs) == 2, plan
    call(pipe, **given)
    assert len(graphs) == 2
    torch._dynamo.reset()
