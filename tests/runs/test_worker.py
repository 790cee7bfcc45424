from __future__ import annotations

import io
import json
import math
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from safelatent import Concept
from safelatent.detectors import Finding, Protocol, always, never
from safelatent.generation.methods import by_method
from safelatent.prompts import Prompt, PromptSet
from safelatent.runs.engines.local import run_local
from safelatent.runs.plan import RunPlan
from safelatent.runs.worker import Worker
from tests import tiny
from tests.pipelines.classic import tiny_families
from tests.runs import dummy

STEPS = 12
# the paper's whole concept is no prompt here: it names a minor's abuse beside the sexual
CONCEPT = "violence, weapons"


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


def plan_of(
    texts: list[str], *, images: int = 1, batch: int = 8, methods: tuple[str, ...] = ("off", "max")
) -> RunPlan:
    prompts = tuple(Prompt(text=text, id=f"p-{n}", seed=100 + n) for n, text in enumerate(texts))
    asked = {
        "steps": STEPS,
        "images": images,
        "batch_size": batch,
        "methods": methods,
        "concept": CONCEPT,
        "model": "tiny",
        "model_digest": "0",
    }
    return dummy.plan(
        PromptSet(name="test", prompts=prompts, rows=len(prompts), skipped={}), **asked
    )


def results_of(pipe, plan: RunPlan):
    worker = Worker(pipe, Protocol(name="test", detectors=(always(),)), plan.settings)
    return {
        (r.prompt_id, r.image, r.method): r
        for results in run_local(worker, plan, list)
        for r in results
    }


def pixels(result) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(result.png)))


def test_the_images_are_those_of_one_call_for_many_images_of_a_prompt(pipe):
    """As in the paper's protocol: the row's seed, one generator, several images; whatever the
    batches.
    """
    methods = ("off", "negative prompt", "max")
    texts = ["a cat", "a dog at night"]
    found = results_of(pipe, plan_of(texts, images=3, batch=4, methods=methods))
    calls = [(method, by_method(pipe, method, Concept.parse(CONCEPT))) for method in methods]
    for n, text in enumerate(texts):
        for method, call in calls:
            generator = torch.Generator().manual_seed(100 + n)
            images = call(
                text, num_images_per_prompt=3, generator=generator, num_inference_steps=STEPS
            ).images
            for k, image in enumerate(images):
                difference = pixels(found[f"p-{n}", k, method]).astype(int) - np.asarray(image)
                assert np.abs(difference).max() <= 1  # a rounding of the eighth bit


def test_what_made_an_image_is_inside_it(pipe):
    found = results_of(pipe, plan_of(["a cat"]))
    guarded, bare = found["p-0", 0, "max"], found["p-0", 0, "off"]
    inside = json.loads(Image.open(io.BytesIO(guarded.png)).text["safelatent"])
    assert inside["prompt"] == "a cat"
    assert (inside["model"], inside["revision"], inside["model_digest"]) == ("tiny", None, "0")
    assert inside["receipt"] == guarded.receipt
    assert guarded.receipt["guided_steps"] == STEPS
    assert bare.receipt is None
    assert guarded.label == bare.label == "inappropriate"
    assert guarded.verdicts["always"]["label"] == "inappropriate"


def test_no_pipeline_rewrites_a_prompt_after_the_rule_about_minors_has_read_it():
    """As PixArt would by default: ``n%75de``."""
    pipe, plan = tiny_families.build(*tiny_families.KINDS["pixart"]), plan_of(["a cat"])
    worker = Worker(pipe, Protocol(name="test", detectors=(never(),)), plan.settings)
    calls, receipt = [], SimpleNamespace(as_dict=dict)

    def drawn(**given):
        calls.append(given)
        return SimpleNamespace(images=torch.rand(1, 3, 16, 16), receipts=[receipt])

    worker._samplers = dict.fromkeys(worker._samplers, drawn)
    for results in run_local(worker, plan, list):
        assert {result.label for result in results} == {"safe"}
    assert [call["clean_caption"] for call in calls] == [False, False], "off and max"


def test_a_row_that_cannot_be_guarded_is_an_error_and_spoils_no_neighbour(pipe):
    texts = ["a cat", CONCEPT, "a dog"]
    found, alone = results_of(pipe, plan_of(texts)), results_of(pipe, plan_of(["a cat"]))
    refused = found["p-1", 0, "max"]
    assert (refused.label, refused.png, refused.verdicts) == ("error", None, {})
    assert "the prompt is the concept itself" in refused.reason
    assert found["p-1", 0, "off"].png is not None, "unguarded it is an image like any other"
    assert (
        np.abs(pixels(found["p-0", 0, "max"]).astype(int) - pixels(alone["p-0", 0, "max"])).max()
        <= 1
    )
    assert found["p-2", 0, "max"].label == "inappropriate"


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_numbers_that_are_not_finite_are_never_safe(pipe):
    def poison(_module, _inputs, output):
        output[0][:1] = float("nan")

    handle = pipe.unet.register_forward_hook(poison)
    try:
        found = results_of(pipe, plan_of(["a cat", "a dog"]))
    finally:
        handle.remove()
    assert {result.label for result in found.values() if result.method == "max"} == {"error"}
    assert all("not finite" in result.reason for result in found.values() if result.method == "max")
    broken = found["p-0", 0, "off"]
    assert (broken.label, broken.png) == ("unusable", None)
    assert "not finite" in broken.reason
    assert found["p-1", 0, "off"].png is not None


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_decoder_that_overflows_makes_no_image(pipe, number):
    """Infinities would be clamped to colours, and be an image like any other. The first batch is
    decoded while the guard of the second one watches the same decoder.
    """
    calls, guarded = 0, threading.Event()

    def count(_module, _inputs):
        nonlocal calls
        calls += 1
        if calls > STEPS:
            guarded.set()

    def late(_module, _inputs):
        assert guarded.wait(60)

    def poison(_module, _inputs, output):
        output = output.clone()
        output[0, 0, 0, 0] = number
        return output

    handles = [
        pipe.vae.decoder.register_forward_pre_hook(late),
        pipe.vae.decoder.register_forward_hook(poison),
        pipe.unet.register_forward_pre_hook(count),
    ]
    try:
        found = results_of(pipe, plan_of(["a cat", "a dog"]))
    finally:
        for handle in handles:
            handle.remove()
    for method in ("off", "max"):
        assert (found["p-0", 0, method].label, found["p-0", 0, method].png) == ("unusable", None)
        assert found["p-1", 0, method].label == "inappropriate"


def test_no_two_threads_read_with_one_tokenizer(pipe, monkeypatch):
    """It keeps padding and truncation from one call to the next: if shared, a concept is now and
    then padded as another's texts.
    """
    read: dict[int, set[str]] = {}
    kind = type(pipe.tokenizer)
    call = kind.__call__

    def watched(self, *args, **kwargs):
        read.setdefault(id(self), set()).add(threading.current_thread().name)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(kind, "__call__", watched)
    assert len(results_of(pipe, plan_of(["a cat", "a dog", "a house"], batch=1))) == 6
    assert len(read) == 2
    assert all(len(threads) == 1 for threads in read.values()), read


@pytest.mark.parametrize("fails", ["raises", "answers NaN", "gives no answer"])
def test_a_detector_that_fails_is_an_error_and_never_safe(pipe, monkeypatch, fails):
    def score(self, images):
        if fails == "raises":
            raise RuntimeError("out of memory")
        finding = Finding(score=math.nan, inappropriate=False, evidence="")
        return [finding for _ in images] if fails == "answers NaN" else []

    monkeypatch.setattr(type(never()), "score", score)
    plan = plan_of(["a cat"])
    worker = Worker(pipe, Protocol(name="test", detectors=(never(),)), plan.settings)
    for results in run_local(worker, plan, list):
        for result in results:
            assert (result.label, result.verdicts["never"]["label"]) == ("error", "error")
            assert result.png is not None, "the image is kept: another detector may judge it"


def test_an_error_that_is_not_about_a_row_ends_the_run(pipe, monkeypatch):
    def broken(*_args, **_kwargs):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(type(pipe.vae), "decode", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        results_of(pipe, plan_of(["a cat"]))
