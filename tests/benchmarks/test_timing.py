"""Interleaving, ratios and counts; no time is asserted."""

from __future__ import annotations

import math
import time

import pytest

from benchmarks.timing import denoiser_rows, machine, ratio, rounds_of
from tests import tiny


def test_rounds_alternate_and_go_on_where_they_stopped():
    called: list[str] = []
    runs = {name: (lambda name=name: called.append(name)) for name in "abc"}
    times = {name: [] for name in runs}
    assert len(list(rounds_of(runs, times, 2, math.inf))) == 2
    assert "".join(called) == "abccba"
    assert len(list(rounds_of(runs, times, 3, math.inf))) == 1
    assert "".join(called) == "abccbaabc"
    assert {len(seconds) for seconds in times.values()} == {3}


def test_no_round_begins_that_would_end_too_late_but_for_the_first():
    times = {"a": []}
    runs = {"a": lambda: time.sleep(0.01)}
    assert len(list(rounds_of(runs, times, 9, time.monotonic() - 1))) == 1
    assert len(list(rounds_of(runs, times, 9, time.monotonic() - 1))) == 0


def test_what_is_yielded_can_be_saved():
    times = {"a": [], "b": []}
    runs = {"a": lambda: None, "b": lambda: None}
    for n, _ in enumerate(rounds_of(runs, times, 4, math.inf), 1):
        assert [len(seconds) for seconds in times.values()] == [n, n]


def test_a_ratio_is_one_within_a_round():
    """A machine that is ten times slower in one round changes nothing."""
    times = {"plain": [1.0, 10.0, 2.0], "guard": [1.5, 15.0, 4.0]}
    found = ratio(times, "guard", "plain")
    assert (found.median, found.least, found.greatest) == (1.5, 1.5, 2.0)
    assert ratio(times, "plain", "plain").greatest == 1


@pytest.mark.parametrize("scale", [7.5, 1.0])
def test_rows_are_counted_at_the_last_layer(scale):
    pipe = tiny.quiet(tiny.pipeline())
    with denoiser_rows(pipe) as rows:
        pipe(["a cat"] * 2, num_inference_steps=3, guidance_scale=scale, output_type="latent")
    assert sum(rows) == 2 * 3 * (2 if scale > 1 else 1)


def test_the_machine_is_named():
    assert {"processor", "cores", "threads", "torch", "diffusers"} <= set(machine())
