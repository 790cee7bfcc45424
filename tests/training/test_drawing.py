"""The processes that draw for the measurements."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from safelatent.guidance import STRONG, NoiseLevel
from tests import tiny
from training.drawing import Sampling, sampler

STARTS = """
from training.drawing import workers

if __name__ == "__main__":
    with workers(1) as pool:
        pool.submit(print, "drawing", flush=True).result()
        pool.submit(__import__("time").sleep, 600).result()
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_they_end_with_the_process_that_started_them(tmp_path, end):
    (tmp_path / "starts.py").write_text(STARTS, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, tmp_path / "starts.py"], stdout=subprocess.PIPE, text=True, env=environment
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "drawing\n"
        started.send_signal(end)
        try:
            started.communicate(timeout=60)  # the workers hold its output open
        except subprocess.TimeoutExpired:
            pytest.fail("a worker lives on")


def test_a_warm_up_in_few_steps_is_the_preset_s_or_ends_at_its_noise_level():
    pipe = tiny.pipeline()
    assert sampler(pipe, Sampling(steps=20)) is pipe
    published = sampler(pipe, Sampling(method="strong", steps=20, dpm=True))
    assert published.safety == STRONG
    by_level = sampler(pipe, Sampling(method="strong", steps=20, dpm=True, by_noise_level=True))
    assert isinstance(by_level.safety.warmup, NoiseLevel)
