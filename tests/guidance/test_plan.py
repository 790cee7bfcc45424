"""Which evaluations a call pays for, counted by hand and by rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError, NotGuardedError
from safelatent.guidance import (
    EXACT,
    FAST,
    MAX,
    MEDIUM,
    PRESETS,
    SLD,
    STRONG,
    WEAK,
    Adaptive,
    NegativePrompt,
    NoiseLevel,
    PerImage,
    Plan,
    paper_noise_level,
)
from safelatent.guidance.evaluations import EITHER, REUSED
from safelatent.guidance.plan import EARLIEST_END

PAPER = [paper_noise_level(i) for i in range(50)]
HALF = NoiseLevel(paper_noise_level(25))


@pytest.mark.parametrize(
    ("plan", "evaluations"),
    [
        (EXACT, [135, 150, 150, 150]),
        (Plan(concept=2), [118, 125, 125, 125]),
        (Plan(concept=5), [107, 110, 110, 110]),
        (Plan(until=HALF), [85, 100, 100, 100]),
        (Plan(concept=5, until=HALF), [77, 80, 80, 80]),
        (Plan(concept=2, uncond=2), [94, 100, 100, 100]),
        (Plan(either=1), [101] * 4),
        (Plan(either=((1, 1), (EARLIEST_END, 2))), [88] * 4),
        (FAST, [76, 80, 80, 80]),
    ],
    ids=str,
)
def test_evaluations_of_the_papers_runs(plan, evaluations):
    assert [plan.on(sld, PAPER).evaluations for sld in PRESETS.values()] == evaluations


@pytest.mark.parametrize("name", PRESETS)
def test_fast_costs_less_than_plain_sampling(name):
    levels = sorted(PAPER[::5] + PAPER[2::5], reverse=True)
    short = PRESETS[name].by_noise_level()
    assert FAST.on(short.on(levels), levels).evaluations <= 34
    assert FAST.on(PRESETS[name], PAPER).evaluations <= 80


def test_one_evaluation_serves_both_at_every_n_th_step():
    looks = Plan(either=3).on(MAX, PAPER).looks
    assert [look.evaluations for look in looks[:8]] == [3, 1, 1, 2, 1, 1, 2, 1]
    assert looks[3] == EITHER
    assert looks[4] == REUSED
    weak = Plan(either=2).on(WEAK, PAPER).looks
    assert [look.concept for look in weak[14:18]] == ["unused", "evaluated", "reused", "either"]
    heun = Plan(either=2).on(MAX, PAPER, order=2).looks
    assert heun[4:8] == (EITHER, REUSED, REUSED, REUSED)


@pytest.mark.parametrize("guidance", [WEAK, STRONG, Adaptive().on(PAPER)], ids=["w", "s", "a"])
def test_the_empty_prompt_is_evaluated_beside_a_negative_one_where_it_counts(guidance):
    plain, beside = (EXACT.on(guidance, PAPER, negative=negative) for negative in (False, True))
    assert {look.empty for look in plain.looks} == {"unused"}
    for look in beside.looks:
        needed = look.choices if isinstance(guidance, Adaptive) else look.concept == "evaluated"
        assert (look.empty == "evaluated") == bool(needed)
    extra = beside.evaluations - plain.evaluations
    assert extra == (5 if isinstance(guidance, Adaptive) else 50 - 15 * (guidance == WEAK))


def test_one_of_several_concepts_needs_the_unconditional_prediction():
    with pytest.raises(BadValueError, match=r"'either=2'.*chooses among several concepts"):
        Plan(either=2).check(Adaptive())


def test_a_solver_of_second_order_pays_for_no_concept_that_its_warm_up_forgets():
    looks = EXACT.on(MEDIUM, PAPER, order=2, evaluations=99).looks
    assert len(looks) == 99
    assert [look.concept for look in looks[:22]] == ["evaluated", "reused"] * 10 + ["evaluated"] * 2
    assert EXACT.on(WEAK, PAPER, order=2, evaluations=99).evaluations == 3 * 99 - 30
    assert EXACT.on(PerImage([WEAK, MAX]), PAPER, order=2).evaluations == 300
    assert Plan(concept=5).on(MAX, PAPER, order=2).evaluations == 200 + 10


LEVELS = st.integers(10, 60).map(lambda n: [1 - k / n for k in range(n)])
BANDS = st.lists(st.floats(0.01, 0.99), max_size=3, unique=True).flatmap(
    lambda levels: st.tuples(*[st.integers(1, 9)] * (len(levels) + 1)).map(
        lambda every: tuple(zip([1.0, *sorted(levels, reverse=True)], every, strict=True))
    )
)
PLANS = st.builds(
    Plan,
    concept=BANDS,
    uncond=BANDS,
    until=st.none() | st.floats(0.01, 0.6).map(NoiseLevel),
) | st.builds(Plan, either=BANDS, until=st.none() | st.floats(0.01, 0.6).map(NoiseLevel))
GUIDANCES = st.sampled_from(
    [WEAK.by_noise_level(), MAX, SLD(warmup=4), PerImage([SLD(warmup=2, momentum=0), MAX])]
)


@given(plan=PLANS, guidance=GUIDANCES, levels=LEVELS, order=st.sampled_from([1, 2]))
def test_the_concept_is_never_off_while_the_prompts_guidance_is_on(plan, guidance, levels, order):
    own = guidance.on(levels)
    try:
        looks = plan.on(own, levels, order=order).looks
    except NotGuardedError:
        return
    assert len(looks) == order * len(levels)
    for k, look in enumerate(looks):
        if k // order >= own.acts_from():
            assert look.guided == (look.concept != "unused")
        assert (look.uncond == "either") == (look.concept == "either")
        beside = [look.uncond, look.concept].count("evaluated") + (look.uncond == "either")
        assert look.evaluations == 1 + beside
    assert looks[0].uncond == "evaluated", "there is nothing to reuse yet"
    first = next(look for look in looks if look.concept != "unused")
    assert first.concept == "evaluated", "there is nothing to reuse yet"
    ends = [k for k, look in enumerate(looks) if not look.guided]
    assert ends == list(range(len(looks) - len(ends), len(looks))), "what ended begins again"


@given(PLANS)
def test_what_is_printed_is_read_and_hashed(plan):
    again = Plan.parse(str(plan))
    assert again == plan
    assert hash(again) == hash(plan)
    assert again.hash == plan.hash
    assert (plan.hash == EXACT.hash) == (plan == EXACT)


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("exact", EXACT),
        ("concept=1", EXACT),
        ("concept=5", Plan(concept=5)),
        (
            " concept = 2/5@0.7 , until = 0.5 ",
            Plan(concept=((1, 2), (0.7, 5)), until=NoiseLevel(0.5)),
        ),
        ("uncond=2", Plan(uncond=2)),
        ("either=2/4@0.5", Plan(either=((1, 2), (0.5, 4)))),
        ("fast", FAST),
    ],
)
def test_texts(text, plan):
    assert Plan.parse(text) == plan
    assert Plan.parse(plan) is plan


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("faster", "the plan is 'faster'; it must be 'exact' or 'fast', or name some of"),
        ("", "it must be 'exact'"),
        ("either=2,concept=5", "has either, concept 5 and uncond 1; give either, or the other two"),
        ("either=0", "must be a whole number of at least 1"),
        ("concept=5,concept=2", "each once"),
        ("concept=x", "'x' in it is no number"),
        ("concept=2.5", "must be a whole number of at least 1"),
        ("concept=0", "must be a whole number of at least 1"),
        ("concept=2/5", "'' in it is no number"),
        ("concept=2/5@1.5", "levels begin at 1 and fall"),
        ("concept=2@0.5", "levels begin at 1 and fall"),
        ("until=0.7", "at most 0.603, the middle of the paper's runs"),
        ("until=0", "must be a number above 0"),
        ("until=nan", "must be a number above 0"),
        (5, "must be a Plan or text"),
        (None, "must be a Plan or text"),
    ],
)
def test_texts_that_are_no_plan(text, message):
    with pytest.raises(BadValueError, match=message):
        Plan.parse(text)


@pytest.mark.parametrize(
    "settings",
    [
        {"concept": True},
        {"concept": ()},
        {"uncond": "2"},
        {"concept": ((1, 2, 3),)},
        {"until": 0.5},
    ],
    ids=str,
)
def test_values_that_are_no_plan(settings):
    with pytest.raises(BadValueError):
        Plan(**settings)


def test_guidance_that_ends_with_the_warm_up_is_refused():
    steps = [1 - k / 20 for k in range(20)]
    late = SLD(warmup=9)
    with pytest.raises(NotGuardedError, match=r"ends all guidance at step 10 of 20.*at step 9"):
        Plan(until=NoiseLevel(0.5)).on(late, steps)
    assert Plan(until=NoiseLevel(0.5)).on(SLD(warmup=8), steps)
    with pytest.raises(NotGuardedError, match="ends all guidance"):
        Plan(until=NoiseLevel(0.5)).on(PerImage([MAX, late]), steps)


def test_the_earliest_end_is_the_middle_of_the_papers_runs():
    assert Plan(until=NoiseLevel(EARLIEST_END)).on(MAX, PAPER).looks[24].guided
    assert not Plan(until=NoiseLevel(EARLIEST_END)).on(MAX, PAPER).looks[25].guided


def test_the_baseline_has_nothing_to_reuse():
    assert EXACT.on(NegativePrompt(), PAPER).evaluations == 100
    with pytest.raises(BadValueError, match="evaluates nothing that could be reused"):
        Plan(concept=5).on(NegativePrompt(), PAPER)
