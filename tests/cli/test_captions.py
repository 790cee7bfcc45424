from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from safelatent.cli.captions import (
    cell,
    footer,
    guarded_words,
    method_words,
    setting_words,
    trace_step,
)
from safelatent.figures.canvas import TEXT, side_for, wrap
from safelatent.generation.request import Request
from safelatent.generation.sampling import Made

REQUEST = Request(prompt="a cat", seed=3, steps=20)
PLAIN = Made(request=REQUEST, image=Image.new("RGB", (8, 8)), receipt=None)


def made(gate: float | None) -> Made:
    receipt = SimpleNamespace(guided_steps=10, steps=20, gate_open=gate)
    return replace(PLAIN, receipt=receipt)


def test_below_a_picture_stands_how_far_it_is_guarded():
    assert guarded_words(PLAIN) == "unguarded"
    assert guarded_words(made(None)) == "guarded in 10 of 20 steps"
    assert guarded_words(made(0.5)) == "guarded in 10 of 20 steps, gate 50% open"


def test_what_is_inappropriate_is_marked():
    judgement = SimpleNamespace(label="inappropriate", in_brief=lambda: "cat, with knife")
    assert (cell(PLAIN, None).seen, cell(PLAIN, None).alarm) == (None, False)
    found = cell(made(None), judgement)
    assert (found.seen, found.alarm, found.lines) == ("cat, with knife", True, ("10 of 20 steps",))


def test_a_column_names_its_settings():
    assert method_words("off") == "plain guidance"
    assert method_words("negative prompt") == "the concept as negative prompt"
    assert method_words("max") == setting_words(
        {"warmup": 0, "scale": 5000.0, "threshold": 1.0, "momentum": 0.5, "decay": 0.7}
    )
    assert setting_words({"warmup": 7, "levels": [1, 2]}) == "warm-up 7"


def test_the_last_line_says_what_made_the_pictures():
    assert footer(REQUEST, None).startswith("model embedded, seed 3, 20 steps, guidance scale 7.5,")
    judge = SimpleNamespace(name="embedded", hash="0123456789abcdef")
    assert footer(REQUEST, judge).endswith(", judged by protocol embedded (0123456789ab)")


@pytest.mark.parametrize("largest", [0.098, 0.000123, 1.23e-05, 12.3])
def test_what_stands_below_a_map_is_not_cut(largest):
    image = Image.new("RGB", (64, 64))
    gamma = torch.tensor([[0.0, largest]])
    seen = SimpleNamespace(image=image, gamma=gamma, gate_open=1.0, i=7)
    line = trace_step(SimpleNamespace(unguarded=seen, guarded=seen)).line
    assert wrap(line, side_for([image]), TEXT, 1) == [line]
    assert f"{largest:.2g}" in line
