"""Adaptive guidance against its definition written out for one image, and in a call."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from safelatent.concepts import CATEGORY_CONCEPTS, Concept
from safelatent.errors import BadValueError
from safelatent.guidance import (
    EXACT,
    MAX,
    SLD,
    STRONG,
    WEAK,
    Adaptive,
    Category,
    Estimates,
    NegativePrompt,
    PerImage,
    Plan,
    categories,
    classifier_free,
    paper_noise_level,
)
from safelatent.guidance.estimates import Choosing, Guidance
from tests.guidance.test_guided_call import begin
from tests.syncs import syncs

SHAPE = (3, 4, 3, 3)  # three images
STEPS = [1 - k / 24 for k in range(24)]
EARLY, LATE = SLD(warmup=0, threshold=0.05, momentum=0.5, decay=0.7), SLD(warmup=4, momentum=0.3)
THREE = tuple(
    Category(name=name, concept=Concept.parse(name), strength=strength)
    for name, strength in (("knives", EARLY), ("blood", LATE), ("smoke", EARLY))
)
ADAPTIVE = Adaptive(categories=THREE, every=4, near=0.8, several=0.3, margin=0.8, elsewhere=0.25)


def noise(seed: int, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(SHAPE, generator=generator, dtype=torch.float64).to(dtype)


def estimates(k: int, look, chosen=None, dtype=torch.float64, negative: bool = False) -> Estimates:
    """What the plan asks for; concept n is n times the prompt's direction, and noise; the last is
    the neutral one, which is nearest to it in the first image.
    """
    draw = noise(k, dtype)
    u, p = draw(), draw()
    each = [u + 0.3 * (n + 1) * (p - u) + draw() for n in range(3)]
    found = {"uncond": u, "prompt": p}
    if look.choices:
        nearest = torch.tensor([2.0, 0.0, -1.0], dtype=dtype).view(3, 1, 1, 1)
        each.append(u + nearest * (p - u))
        found["concepts"] = tuple(each[: look.choices])
    elif look.concept == "evaluated":
        found["concept"] = torch.stack([each[n][b] for b, n in enumerate(chosen.tolist())])
    if look.empty == "evaluated":
        found["empty"] = draw()
    return Estimates(**found)


class ByHand:
    """One image, in numbers, as the page on the method writes it."""

    def __init__(self, b: int) -> None:
        self.b, self.nu, self.directions = b, torch.zeros(SHAPE[1:], dtype=torch.float64), []
        self.near: list[int] = []
        self.share = 0.0
        self.negative = torch.zeros(SHAPE[1:], dtype=torch.float64)

    def step(self, e: Estimates, i: int) -> torch.Tensor:
        b = self.b
        u, p = e.uncond[b], e.prompt[b]
        if e.empty is not None:
            self.negative = u - e.empty[b]
        zero = u - self.negative
        if e.concepts:
            self.directions = [s[b] - zero for s in e.concepts[:3]]
            to_prompt = (p - zero).flatten()
            if not self.share:
                led = [float((s[b] - zero).flatten() @ to_prompt) for s in e.concepts]
                self.share = 0.25 if 0.8 * led[3] > max(0, *led[:3]) else 1.0
            cosines = [
                float(d.flatten() @ to_prompt / d.norm() / to_prompt.norm())
                for d in self.directions
            ]
            best = max(cosines)
            self.nearest = cosines.index(best)
            self.near = [
                n
                for n, c in enumerate(cosines)
                if n == self.nearest or (best >= 0.3 and c >= 0.8 * best)
            ]
            self.due = self.nearest
        elif e.concept is not None:
            self.directions[self.due] = e.concept[b] - zero
            later = [n for n in self.near if n > self.due]
            self.due = min(later or self.near)
        effect = torch.zeros_like(u)
        for n in self.near:
            d = self.directions[n]
            opened = p - zero - d <= THREE[n].strength.threshold
            effect = torch.where(opened & (d.abs() > effect.abs()), d, effect)
        own = THREE[self.nearest].strength
        gamma = self.share * effect + own.momentum * self.nu
        self.nu = own.decay * self.nu + (1 - own.decay) * gamma
        return p - (gamma if i >= own.warmup else 0)


@pytest.mark.parametrize("negative", [False, True], ids=["plain", "negative prompt"])
@pytest.mark.parametrize("plan", [EXACT, Plan(concept=3)], ids=str)
def test_each_image_as_written_out(plan, negative):
    state, hands = (
        ADAPTIVE.init(torch.zeros(SHAPE, dtype=torch.float64)),
        [ByHand(b) for b in range(3)],
    )
    looks = plan.on(ADAPTIVE, STEPS, negative=negative).looks
    several = set()
    assert [look.choices for look in looks if look.choices] == [4, 3, 3, 3, 3, 3]
    for i, look in enumerate(looks):
        e = estimates(i, look, ADAPTIVE.chosen(state))
        correction, state = ADAPTIVE.correct(e, state, i)
        for b, hand in enumerate(hands):
            torch.testing.assert_close(correction.prompt[b], hand.step(e, i), atol=1e-12, rtol=0)
            assert state.near[:, b].nonzero().flatten().tolist() == sorted(hand.near)
            several.add(len(hand.near))
        assert torch.equal(correction.uncond, e.uncond)
    assert several >= {1, 2}
    assert [hand.share for hand in hands] == [0.25, 1.0, 1.0]
    assert state.share.tolist() == [0.25, 1.0, 1.0]


def test_elsewhere_begins_where_the_neutral_text_is_ahead_by_the_margin():
    """Three images, whose nearest category is that far on the way to the neutral text's."""
    draw = noise(0)
    u, way = draw(), draw()
    far = torch.tensor([0.5, 0.79, 0.81], dtype=torch.float64).view(3, 1, 1, 1)
    nearest, neutral = u + far * way, u + way
    e = Estimates(uncond=u, prompt=u + 2 * way, concepts=(u - way, nearest, u - way, neutral))
    for margin, shares in ((0.8, [0.25, 0.25, 1.0]), (1.0, [0.25] * 3), (0.4, [1.0] * 3)):
        own = replace(ADAPTIVE, margin=margin)
        assert own.correct(e, own.init(e.prompt), 0)[1].share.tolist() == shares


def test_a_row_is_what_it_is_alone():
    e = estimates(0, EXACT.on(ADAPTIVE, STEPS).looks[0])
    together, _ = ADAPTIVE.correct(e, ADAPTIVE.init(e.prompt), 0)
    for b in range(3):
        row = Estimates(
            uncond=e.uncond[b : b + 1],
            prompt=e.prompt[b : b + 1],
            concepts=tuple(s[b : b + 1] for s in e.concepts),
        )
        alone, _ = ADAPTIVE.correct(row, ADAPTIVE.init(row.prompt), 0)
        assert torch.equal(together.prompt[b : b + 1], alone.prompt)


@pytest.mark.parametrize("strength", [WEAK, STRONG, MAX], ids=["weak", "strong", "max"])
def test_a_prompt_that_is_the_concept_is_guarded(strength):
    """``e_p = e_k``: the published factor is 0 there; here the prompt's direction is taken away."""
    draw = noise(1)
    u, p = draw(), draw()
    one = Adaptive(categories=categories(strength, {"violence": CATEGORY_CONCEPTS["violence"]}))
    one = one.on([0.1] * 4)
    correction, _ = one.correct(
        Estimates(uncond=u, prompt=p, concepts=(p.clone(),)), one.init(p), 0
    )
    torch.testing.assert_close(correction.prompt, u)
    assert correction.gate.min() == 1
    published = strength.on([0.1] * 4).correct(
        Estimates(uncond=u, prompt=p, concept=p.clone()), strength.init(p), 20
    )[0]
    assert torch.equal(published.prompt, p)


def test_a_negative_prompt_that_is_the_concept_does_not_switch_it_off():
    draw = noise(2)
    empty, p, s = draw(), draw(), draw()
    one = Adaptive(categories=THREE[:1])
    own, _ = one.correct(
        Estimates(uncond=s, prompt=p, concepts=(s.clone(),), empty=empty), one.init(p), 0
    )
    without, _ = one.correct(Estimates(uncond=empty, prompt=p, concepts=(s,)), one.init(p), 0)
    torch.testing.assert_close(own.gamma, without.gamma)
    assert own.gamma.abs().max() > 0
    assert torch.equal(own.uncond, s)


def test_several_near_categories_do_not_cancel():
    """Two opposite in one element: the aggregate is zero there, the largest is not."""
    u = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    p = torch.tensor([1.0, 0.2], dtype=torch.float64).view(1, 1, 1, 2)
    up = torch.tensor([1.0, 0.5], dtype=torch.float64).view(1, 1, 1, 2)
    down = torch.tensor([1.0, -0.5], dtype=torch.float64).view(1, 1, 1, 2)
    wide = SLD(warmup=0, threshold=1.0, momentum=0.0)
    two = Adaptive(
        categories=tuple(
            Category(name=n, concept=Concept.parse(n), strength=wide) for n in ("up", "down")
        ),
        near=0.5,
        several=0.2,
    )
    correction, _ = two.correct(Estimates(uncond=u, prompt=p, concepts=(up, down)), two.init(p), 0)
    assert ((up + down) / 2)[..., 1] == 0
    assert abs(float(correction.gamma[..., 1])) == 0.5


@pytest.mark.parametrize(
    ("steps", "chosen"),
    [
        (50, [0, 10, 20, 30, 40]),
        (30, [0, 10, 20]),
        (20, [0, 7, 14]),
        (10, [0, 4, 8]),
        (2, [0, 1]),
        (1, [0]),
    ],
)
def test_it_chooses_again_after_a_third_at_the_latest(steps, chosen):
    """A first choice is made among pure noise, and in few steps old directions are far off."""
    levels = [1 - i / steps for i in range(steps)]
    free = replace(STRONG, warmup=0)
    adaptive = Adaptive(categories=categories(free)).on(levels)
    plan = EXACT.on(adaptive, levels)
    assert [i for i, look in enumerate(plan.looks) if look.choices] == chosen
    assert adaptive.on(levels) == adaptive


def test_it_is_followed_counted_and_written_down():
    """Seven categories chosen at every tenth step: 0.6 evaluations more per step, and the neutral
    text once.
    """
    adaptive = Adaptive()
    call = begin(adaptive, 50, 2)
    shape = (2, 4, 3, 3)
    for k in range(50):
        draw = torch.Generator().manual_seed(k)
        each = [torch.randn(shape, generator=draw) for _ in range(10)]
        look, chosen = call.look, call.chosen
        if look.choices:
            assert chosen is None
            each[2 + 7][0] = each[1][0]  # where the first image's prompt leads
            e = Estimates(
                uncond=each[0], prompt=each[1], concepts=tuple(each[2 : 2 + look.choices])
            )
        else:
            assert chosen.shape == (2,)
            e = Estimates(uncond=each[0], prompt=each[1], concept=each[2])
        call.correct(e, guidance_scale=7.5)
    receipts = call.finish("x")
    assert [r.safety for r in receipts] == ["adaptive"] * 2
    assert receipts[0].evaluations == 150 + 5 * 6 + 1
    shares = [[one["share"] for one in r.categories or ()] for r in receipts]
    assert shares == [[0.2] * 5, [1.0] * 5]
    held, full = (r.gamma_ratio or 0.0 for r in receipts)
    assert 0 < held < 0.5 * full
    assert ", 0.2 of the guidance" in str(receipts[0])
    assert "of the guidance" not in str(receipts[1])
    for receipt in receipts:
        assert receipt.categories is not None
        assert [one["step"] for one in receipt.categories] == [0, 10, 20, 30, 40]
        assert all(set(one["names"]) <= set(CATEGORY_CONCEPTS) for one in receipt.categories)
        assert all(one["names"] for one in receipt.categories)
        assert "categories: " in str(receipt)
        json.dumps(receipt.as_dict())


def test_no_step_waits_for_the_device():
    call = begin(ADAPTIVE, 12, 3)
    with syncs() as counted:
        for k in range(12):
            look = call.look
            draw = noise(k, torch.float32)
            u, p, s = draw(), draw(), draw()
            more = {"concept": s}
            if look.choices:
                more = {"concepts": (s, p, u, s)[: look.choices]}
            call.correct(Estimates(uncond=u, prompt=p, **more), guidance_scale=7.5)
            _ = call.chosen if k < 11 else None
    assert counted == []


def test_the_warm_up_is_the_same_noise_at_any_number_of_steps():
    for steps in (10, 20, 50):
        levels = [paper_noise_level(50 * k // steps) for k in range(steps)]
        own = Adaptive().on(levels)
        assert own.acts_from() == pytest.approx(7 * steps / 50, abs=1)
        assert not [i for i in range(own.acts_from()) if levels[i] <= paper_noise_level(7) * 0.999]


def test_half_precision():
    for dtype in (torch.float16, torch.bfloat16):
        e = estimates(0, EXACT.on(ADAPTIVE, STEPS).looks[0], dtype=dtype)
        correction, state = ADAPTIVE.correct(e, ADAPTIVE.init(e.prompt), 0)
        assert {correction.prompt.dtype, correction.gate.dtype, state.nu.dtype} == {dtype}
        assert classifier_free(correction, 7.5).isfinite().all()


def test_it_is_a_guidance_that_chooses_and_no_part_of_a_batch():
    assert isinstance(ADAPTIVE, Choosing)
    assert isinstance(ADAPTIVE, Guidance)
    assert not any(isinstance(one, Choosing) for one in (STRONG, NegativePrompt()))
    with pytest.raises(BadValueError, match="it must be an SLD"):
        PerImage([STRONG, ADAPTIVE])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"categories": ()}, "the categories are none"),
        ({"categories": THREE[:1] * 2}, "give at least one, each once"),
        ({"every": 0}, "every is 0; it must be a whole number"),
        ({"every": 2.5}, "every is 2.5"),
        ({"near": 0}, "near is 0; it must be above 0"),
        ({"near": float("nan")}, "near is nan"),
        ({"several": 0}, "several is 0; it must be above 0"),
        ({"several": "all"}, "several is 'all'"),
        ({"margin": 1.5}, "margin is 1.5; it must be above 0 and at most 1"),
        ({"elsewhere": 0}, "elsewhere is 0; it must be above 0"),
        ({"neutral": ""}, "the concept is empty"),
    ],
    ids=str,
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(BadValueError, match=message):
        Adaptive(**settings)
