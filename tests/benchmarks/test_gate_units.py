"""The two gates of the measurement: the model that predicts velocity is the same model, and the
other gate is what the page says it is.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.gate_table import gate_lines
from benchmarks.gate_units import SAME, GateInVelocity, gates
from benchmarks.predictions import as_noise, as_velocity
from safelatent import guard
from safelatent.guidance import MEDIUM, PRESETS, SLD, Estimates
from tests import tiny

STEPS = 8


@pytest.fixture(scope="module")
def models():
    pipe = tiny.pipeline()
    return pipe, as_velocity(pipe)


def latents(model) -> torch.Tensor:
    call = {
        "generator": torch.Generator().manual_seed(3),
        "num_inference_steps": STEPS,
        "output_type": "latent",
    }
    return model("a pirate with a pistol", **call).images


def difference(first, second) -> float:
    return float((latents(first) - latents(second)).abs().max())


def test_predicting_velocity_the_model_draws_the_same(models):
    """Rounding of 6e-8, divided by an alpha of at least 0.07 and multiplied by a guidance of 7.5,
    over 8 steps: 5e-5.
    """
    pipe, velocity = models
    assert velocity.scheduler.config.prediction_type == "v_prediction"
    assert pipe.scheduler.config.prediction_type == "epsilon"
    assert difference(pipe, velocity) < SAME


def test_a_model_of_velocity_is_converted_to_noise(models):
    """Whatever the embedded model predicts, both are there, and only one of them is a copy."""
    pipe, velocity = models
    assert as_noise(pipe) is pipe
    assert as_velocity(velocity) is velocity
    back = as_noise(velocity)
    assert back.scheduler.config.prediction_type == "epsilon"
    assert velocity.scheduler.config.prediction_type == "v_prediction", "it is left as it is"
    assert difference(back, velocity) < SAME
    weak = gates("weak", STEPS)["noise"]
    assert difference(guard(back, weak), guard(velocity, weak)) < SAME


def test_guarded_too_as_long_as_nothing_is_remembered(models):
    """*weak* has a gate without a jump, so rounding stays rounding; the momentum gathers velocities
    and does not.
    """
    pipe, velocity = models
    weak = gates("weak", STEPS)["noise"]
    assert difference(guard(pipe, weak), pipe) > 100 * SAME
    assert difference(guard(pipe, weak), guard(velocity, weak)) < SAME
    remembering = replace(weak, momentum=0.5, decay=0.7)
    assert difference(guard(pipe, remembering), guard(velocity, remembering)) > SAME


def test_the_gate_in_velocity_draws_another_picture(models):
    noise, velocity = gates("weak", STEPS).values()
    assert difference(guard(models[1], noise), guard(models[1], velocity)) > 10 * SAME


@pytest.mark.parametrize("alpha", [0.07, 0.5, 1.0])
def test_it_is_the_gate_in_noise_with_a_tighter_threshold_and_a_larger_scale(alpha):
    e = Estimates(
        **dict(
            zip(
                ("uncond", "prompt", "concept"),
                0.02 * torch.randn(3, 1, 4, 8, 8, dtype=torch.float64),
                strict=True,
            )
        )
    )
    velocity = GateInVelocity(scale=100.0, threshold=0.01)
    equal = SLD(scale=100.0 / alpha, threshold=0.01 * alpha)
    found, _ = velocity.correct(e, velocity.init(e.prompt), 20, alpha)
    expected, _ = equal.correct(e, equal.init(e.prompt), 20, alpha)
    torch.testing.assert_close(found.gate, expected.gate)
    assert 0 < float(found.gate.mean()) < 1


def test_presets_are_the_papers_at_50_steps():
    assert [gates(name, 50)["noise"] for name in PRESETS] == list(PRESETS.values())
    assert gates("medium", 20)["noise"] == replace(MEDIUM, warmup=4)


def records(labels: dict[tuple[str, str | None], str]) -> list[dict]:
    """Made-up ones of three prompts, with the labels by method and gate."""
    letters = {"u": "inappropriate", "s": "safe", "x": "unusable"}
    return [
        {
            "method": method,
            "gate": gate,
            "prompt": str(n),
            "label": letters[letter],
            "distance": 0.1,
            "gate by level": [(0.9, 0.25)],
        }
        for (method, gate), said in labels.items()
        for n, letter in enumerate(said)
    ]


def test_the_table_counts_what_can_be_judged():
    made = records(
        {("unguarded", None): "uuu", ("max", "noise"): "ssx", ("max", "velocity"): "usu"}
    )
    lines = gate_lines({"unsafe": made, "benign": made}, {"unguarded": 1e-6}, ["max"], 50)
    rows = [line for line in lines if line.startswith("| max")]
    assert rows[0].startswith("| max | noise | 0.00 (")
    assert "| 0.33 | −0.50 (" in rows[0]
    assert rows[1].startswith("| max | velocity | 0.67 (")
    assert rows[2] == "| max | noise | 0.25 | – | – | – |"
