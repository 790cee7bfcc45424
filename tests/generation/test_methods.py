from __future__ import annotations

import numpy as np
import pytest
import torch

from safelatent import DEFAULT_CONCEPT, BadValueError, Concept, guard
from safelatent.generation.methods import METHODS, by_method, method_settings, parse_methods
from safelatent.guidance import NoiseLevel
from tests import tiny
from tests.pipelines.classic.tiny_families import pipeline


def test_methods_by_name():
    assert parse_methods("max, OFF,negative") == ("off", "negative prompt", "max")
    settings = [method_settings(name, DEFAULT_CONCEPT) for name in METHODS]
    assert len({str(values) for values in settings}) == len(METHODS)
    for text, message in (
        ("", "name at least one"),
        ("off,off", "each once"),
        ("stong", "did you mean 'strong'"),
    ):
        with pytest.raises(BadValueError, match=message):
            parse_methods(text)


def test_the_concept_and_the_preset_distinguish_guarded_methods_alone():
    other = Concept.parse("weapons")
    assert method_settings("off", other) == method_settings("off", DEFAULT_CONCEPT)
    assert method_settings("max", other) != method_settings("max", DEFAULT_CONCEPT)
    assert method_settings("weak", DEFAULT_CONCEPT)["scale"] == 200.0


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
