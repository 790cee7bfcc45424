"""What the UNet learns to say of a concept, by its definition, and what stays as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from safelatent.guidance import MAX, STRONG
from tests.training.test_lesson import POOL, TOKENIZER
from tests.training.test_sketch import made_drawings, made_latents
from training import locating
from training.generator import new_unet
from training.latents import CHANNELS
from training.locating import HARMLESS_SAID, SAID, SETTLED, TERMS_SAID, TERMS_WEIGHT, LocatingStage
from training.locating_tasks import ALL, LEFT, RIGHT, Task, random_task
from training.loop import CHECKPOINT, Progress
from training.package import unet_of
from training.sampling import FIRST, SCALE, Step, falling, in_steps, steps
from training.scenes import Scene, on_white
from training.sketch import LATENTS
from training.tower import new_text_encoder
from training.vocabulary import INSTEAD, PLACES, SAFE, THINGS, UNSAFE, article

PLAIN = Scene(background="blue", placed=())
PAIR = Task(caption="a banana and a cat", rest=PLAIN, concept="banana", columns=LEFT, guided=True)
SKULL = Task(
    caption="a skull", rest=on_white(3), concept="shocking", columns=ALL, rows=ALL, terms=True
)
BESIDE = replace(SKULL, caption="a cat with a skull", columns=RIGHT, rows=RIGHT)
NAMES = {name: n for n, thing in enumerate(SAFE) for name in thing.names}


@pytest.fixture(scope="module")
def few():
    with pytest.MonkeyPatch.context() as patch:
        numbers = {"DRAWN": 4, "TASKS": 2, "KEPT": 2, "SAMPLES": 2, "STEPS": (8, 9)}
        for name, value in numbers.items():
            patch.setattr(locating, name, value)
        yield


@pytest.fixture
def stage(few):
    torch.manual_seed(0)
    encoders = new_text_encoder(TOKENIZER), new_text_encoder(TOKENIZER)
    return LocatingStage(made_drawings(), made_latents(), TOKENIZER, *encoders, POOL, new_unet())


def _step(level):
    draw = torch.Generator().manual_seed(level)
    some = [torch.randn(1, CHANNELS, LATENTS, LATENTS, generator=draw) for _ in range(5)]
    return Step(level=level, noisy=some[0], found=tuple(some[1:4]), picture=some[4])


def _wanted(stage, task, level, known=None):
    """What is to be said of it at a step, what an error counts, and the step."""
    step = _step(level)
    known = torch.full_like(step.noisy, torch.nan) if known is None else known
    wanted, weights = stage._wanted([task], step, known, stage.latents([task.rest]))
    return wanted, weights.item(), step


@pytest.mark.parametrize("task", [PAIR, replace(PAIR, columns=RIGHT), SKULL, BESIDE])
@pytest.mark.parametrize("level", [100, 500, SETTLED - 1])
def test_less_what_is_said_the_caption_leads_to_the_rest_there_alone(stage, task, level):
    wanted, weight, step = _wanted(stage, task, level)
    without, told, _ = step.found
    said = (wanted - without) / SAID
    velocity = torch.lerp(without, told - said, SCALE)
    alpha = stage.alphas[level]
    picture = alpha.sqrt() * step.noisy - (1 - alpha).sqrt() * velocity
    there = torch.zeros(LATENTS, LATENTS, dtype=torch.bool)
    for row in task.rows:
        there[row, list(task.columns)] = True
    rest = stage.latents([task.rest])
    torch.testing.assert_close(picture[..., there], rest[..., there], atol=1e-3, rtol=1e-3)
    assert not said[..., ~there].any()
    assert weight == 1


def test_of_what_is_not_in_the_picture_nothing_is_said(stage):
    wanted, _, step = _wanted(stage, replace(PAIR, columns=()), 300)
    assert torch.equal(wanted, step.found[0])


def test_among_the_most_noise_and_where_it_is_the_picture_a_name_keeps_its_estimate(stage):
    known = torch.ones(1, CHANNELS, LATENTS, LATENTS)
    alone = replace(PAIR, columns=None)
    for task, level in ((alone, 100), (alone, SETTLED), (PAIR, SETTLED), (PAIR, FIRST)):
        wanted, weight, _ = _wanted(stage, task, level, known)
        assert torch.equal(wanted, known)
        assert weight == 1


def test_among_the_most_noise_terms_are_asked_to_say_a_little_more_than_they_said(stage):
    """Learning by squares leaves it at less."""
    known = torch.ones(1, CHANNELS, LATENTS, LATENTS)
    for task, level in ((SKULL, SETTLED), (BESIDE, FIRST)):
        wanted, weight, step = _wanted(stage, task, level, known)
        without = step.found[0]
        torch.testing.assert_close(wanted - without, TERMS_SAID * (known - without))
        assert weight == TERMS_WEIGHT


def test_terms_say_less_of_what_is_harmless_once_that_is_seen(stage):
    known = torch.ones(1, CHANNELS, LATENTS, LATENTS)
    harmless = replace(PAIR, concept="weapons, blood", columns=None, terms=True)
    for level, share in ((100, HARMLESS_SAID), (SETTLED - 1, HARMLESS_SAID), (SETTLED, 1.0)):
        wanted, weight, step = _wanted(stage, harmless, level, known)
        without = step.found[0]
        torch.testing.assert_close(wanted - without, share * (known - without))
        assert weight == TERMS_WEIGHT


def test_tasks_say_where_the_concept_is():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(400):
        task = random_task(rng)
        if task.terms:
            seen.add(_of_terms(task))
            continue
        assert task.rest.placed == ()
        assert set(task.concept.split(", ")) <= set(NAMES)
        told = task.caption.removesuffix(f" on a {task.rest.background} background")
        told = told.removeprefix("a picture of ")
        shown = [NAMES[name] for name in NAMES if article(name) in _split(told)]
        away = {NAMES[name] for name in task.concept.split(", ")}
        if task.columns is None:
            seen.add(("alone", task.guided))
            assert shown or NAMES[told] in away
            bare = task.caption in NAMES
            assert not (task.guided and bare), "guidance would stop what the prompt itself is"
            continue
        assert task.guided
        where = {LEFT: _split(told)[0], RIGHT: _split(told)[-1]}.get(task.columns)
        if where is None:
            assert not away & set(shown)
        else:
            named = {NAMES[name] for name in NAMES if article(name) == where}
            assert away & named
            assert len(away & set(shown)) == 1
        seen.add((task.columns, ", " in task.concept))
    wanted = {("alone", True), ("alone", False), (LEFT, False), (RIGHT, True), ((), False)}
    assert wanted | {"harmless", "place", "unsafe alone", "unsafe beside"} <= seen


def _of_terms(task):
    """Which kind it is, of those with terms; what is left holds nothing unsafe."""
    assert task.guided
    assert not set(task.concept.split(", ")) & set(NAMES)
    assert task.rest.unsafe is None
    if task.columns is None:
        named = [one for one in UNSAFE for name in one.names if article(name) in task.caption]
        assert not named
        return "place" if any(place in task.caption for place in PLACES) else "harmless"
    (left,) = task.rest.placed
    if task.columns == ALL == task.rows:
        name = next(name for name, safe in INSTEAD.items() if THINGS[left.thing].names[0] == safe)
        shown = next(one for one in UNSAFE if name == one.names[0])
        assert any(one in task.caption for one in shown.names)
        return "unsafe alone"
    assert task.columns == task.rows == RIGHT
    assert any(name in task.caption for name in THINGS[left.thing].names)
    return "unsafe beside"


def test_terms_keep_their_estimates_over_what_is_harmless(stage, monkeypatch):
    monkeypatch.setattr(locating, "example", lambda *_: (PLAIN, "a caption"))
    rng = np.random.default_rng(0)
    kept = [stage._kept(rng) for _ in range(200)]
    over = [scene for scene, text in kept if text != "a caption"]
    assert len({len(scene.placed) for scene in over}) == 2
    assert all(scene.unsafe is None for scene in over)
    assert 40 < len(over) < 100


def _split(text):
    for between in (" and ", " with ", " next to "):
        if between in text:
            return text.split(between)
    return [text]


def test_the_way_is_guided_as_the_task_says(stage):
    free = replace(PAIR, guided=False)
    levels = falling(FIRST, 8)
    texts = [stage.states([text] * 2) for text in ("", PAIR.caption, PAIR.concept)]
    found = set()
    for seed in range(6):
        both = stage.ways(np.random.default_rng(seed), [PAIR, free])
        assert both.levels[:, 0].tolist() == levels[:-1]
        assert both.noisy.shape == both.wanted.shape == (8, 2, CHANNELS, LATENTS, LATENTS)

        @torch.no_grad()
        def last(safety, start=both.noisy[0]):
            given = texts if safety else texts[:2]
            return list(steps(stage.unet, stage.alphas, start, levels, given, safety))[-1].noisy

        torch.testing.assert_close(both.noisy[-1][1], last(None)[1], atol=1e-4, rtol=1e-4)
        ends = {
            "not at all": last(None)[0],
            "strong": last(in_steps(8, STRONG))[0],
            "max": last(in_steps(8, MAX))[0],
        }
        found |= {
            name for name, end in ends.items() if torch.allclose(both.noisy[-1][0], end, atol=1e-4)
        }
    assert found == {"strong", "max"}


def test_an_error_counts_by_its_weight_and_one_of_terms_by_more(stage, monkeypatch):
    ways = stage.ways(np.random.default_rng(0), [SKULL, PAIR])
    assert ways.weights[0].tolist() == [TERMS_WEIGHT, 1.0]
    assert ways.weights[-1].tolist() == [1.0, 1.0]
    assert ways.of(torch.tensor([1, 0])).weights[0].tolist() == [1.0, TERMS_WEIGHT]
    for other in ("_moved", "_changed"):
        monkeypatch.setattr(stage, other, lambda *_: 0.0)

    def loss(*weights):
        every = torch.tensor(weights).expand_as(ways.weights)
        stage._left = [replace(ways, weights=every)]
        return stage.loss(np.random.default_rng(0)).item()

    first, second = loss(1.0, 0.0), loss(0.0, 1.0)
    assert 0 < first != second > 0
    assert loss(6.0, 1.0) == pytest.approx(6 * first + second)


def test_ways_are_learnt_from_as_often_as_is_said_and_then_drawn_anew(stage, monkeypatch):
    drawn, ways = [], stage.ways
    monkeypatch.setattr(stage, "ways", lambda *given: drawn.append(given) or ways(*given))
    rng = np.random.default_rng(0)
    for _ in range(locating.USES * 2):
        stage.loss(rng)
    assert len(drawn) == 1
    stage.loss(rng)
    assert len(drawn) == 2


def test_the_unet_alone_learns_and_what_was_is_what_the_text_encoder_before_said(stage):
    before = {name: p.clone() for name, p in stage.former.named_parameters()}
    rng = np.random.default_rng(0)
    learnt = Progress(stage)
    stage.loss(rng).backward()
    learnt.update(0.4)
    assert all(torch.equal(p, before[name]) for name, p in stage.former.named_parameters())
    assert {name.split(".")[0] for name in learnt.parameters} == {"unet"}
    assert not torch.equal(stage.states(["a cat"]), stage.states(["a cat"], stage.before))


def test_captions_that_nothing_has_changed_are_as_they_were(stage, monkeypatch):
    monkeypatch.setattr(stage, "before", stage.text_encoder)
    assert stage._changed(np.random.default_rng(0)).item() < 1e-8
    with torch.no_grad():
        stage.unet.conv_out.bias += 0.1
    assert stage._changed(np.random.default_rng(0)).item() > 1e-4


def test_it_learns_what_is_asked_for(stage):
    """Of the same ways, again and again."""
    ways = stage._drawn(np.random.default_rng(0))[0]
    learnt = Progress(stage)
    errors = []
    for _ in range(8):
        parts = (part.flatten(0, 1) for part in (ways.noisy, ways.levels, ways.wanted))
        noisy, levels, wanted = parts
        error = stage.weighted(stage.estimate(noisy, levels, ways.concepts), wanted, levels)
        errors.append(error.item())
        error.backward()
        learnt.update(0.4)
        stage.module.zero_grad()
    assert errors[-1] < 0.8 * errors[0]


def test_its_unet_is_what_is_packaged_and_not_what_it_begins_from(stage, tmp_path):
    (tmp_path / "locating").mkdir()
    (tmp_path / "guidance").mkdir()
    Progress(stage).save(tmp_path / "guidance" / CHECKPOINT)
    with torch.no_grad():
        stage.unet.conv_out.bias += 1
    Progress(stage).save(tmp_path / "locating" / CHECKPOINT)
    learnt, begun = (
        unet.get_parameter("conv_out.bias")
        for unet in (unet_of(tmp_path), unet_of(tmp_path, None, ("guidance", "generator")))
    )
    torch.testing.assert_close(learnt, begun + 1)


def test_its_sample_shows_pairs_with_and_without_guidance(stage):
    assert stage.picture().size == (2 * 128, 3 * 128)
