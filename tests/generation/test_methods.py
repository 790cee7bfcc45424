from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from safelatent import DEFAULT_CONCEPT, Adaptive, BadValueError, Concept, guard
from safelatent.generation.methods import (
    ALL_METHODS,
    METHODS,
    by_method,
    method_settings,
    methods_text,
    parse_methods,
)
from safelatent.guidance import NoiseLevel
from tests import tiny
from tests.pipelines.classic.tiny_families import pipeline


def test_methods_by_name():
    assert parse_methods("max, OFF,negative") == ("off", "negative prompt", "max")
    assert parse_methods("adaptive,off") == ("off", "adaptive")
    assert set(ALL_METHODS) - set(METHODS) == {"adaptive"}, "those of the paper are the default"
    settings = [method_settings(name, DEFAULT_CONCEPT) for name in ALL_METHODS]
    assert len({str(values) for values in settings}) == len(ALL_METHODS)
    json.dumps(settings)
    for text, message in (
        ("", "name at least one"),
        ("off,off", "each once"),
        ("stong", "did you mean 'strong'"),
        ("foo", "must be one of off, negative, weak, medium, strong, max, adaptive$"),
    ):
        with pytest.raises(BadValueError, match=message):
            parse_methods(text)


def test_methods_as_text_are_read_again():
    assert methods_text(METHODS) == "off,negative,weak,medium,strong,max"
    assert parse_methods(methods_text(ALL_METHODS)) == ALL_METHODS
    assert parse_methods("negative prompt") == parse_methods("negative-prompt")


def test_the_concept_and_the_preset_distinguish_guarded_methods_alone():
    other = Concept.parse("weapons")
    assert method_settings("off", other) == method_settings("off", DEFAULT_CONCEPT)
    assert method_settings("max", other) != method_settings("max", DEFAULT_CONCEPT)
    assert method_settings("weak", DEFAULT_CONCEPT)["scale"] == 200.0
    assert method_settings("adaptive", other) != method_settings("adaptive", DEFAULT_CONCEPT)


def test_a_plan_distinguishes_the_methods_that_follow_it():
    for name in ALL_METHODS:
        exact, fast = (method_settings(name, DEFAULT_CONCEPT, p) for p in ("exact", "concept=5"))
        assert (exact != fast) == (name not in ("off", "negative prompt"))
    pipe = tiny.pipeline()
    for name in ("max", "adaptive"):
        assert str(by_method(pipe, name, DEFAULT_CONCEPT, "concept=5").plan) == "concept=5"
    assert str(by_method(pipe, "negative prompt", DEFAULT_CONCEPT, "concept=5").plan) == "exact"


def test_adaptive_is_of_the_categories_or_of_ones_own_concept():
    pipe = tiny.pipeline()
    assert by_method(pipe, "adaptive", DEFAULT_CONCEPT).guidance == Adaptive()
    own = by_method(pipe, "adaptive", Concept.parse("weapons")).guidance
    assert [str(one.concept) for one in own.categories] == ["weapons"]


def test_a_method_is_the_guarded_pipeline_of_that_name():
    pipe = tiny.pipeline()
    assert by_method(pipe, "off", DEFAULT_CONCEPT) is pipe
    arguments = {"prompt": "a cat with a pistol", "num_inference_steps": 20}
    for method in ("medium", "max"):
        images = [
            call(**arguments, generator=torch.Generator().manual_seed(1)).images[0]
            for call in (by_method(pipe, method, DEFAULT_CONCEPT), guard(pipe, method))
        ]
        assert np.array_equal(*map(np.asarray, images))


def test_on_rectified_flow_the_warm_up_of_a_method_is_a_noise_level():
    """As ``guard(pipe, "medium")`` has it."""
    pipe = pipeline("sd3")
    assert by_method(pipe, "medium", DEFAULT_CONCEPT).guidance == guard(pipe, "medium").guidance
    assert isinstance(guard(pipe, "medium").guidance.warmup, NoiseLevel)
