"""The training loop on a problem with a known answer."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
import torch
from PIL import Image
from torch import nn

from training.loop import Budget, Progress, learning_rate_factor, load_average, train

TARGET = torch.tensor([[1.0, -2.0, 3.0]])


class Line:
    """Learns the weights of a line."""

    learning_rate = 0.05
    average = 0.9
    images_a_step = 8

    def __init__(self):
        self.module = nn.Linear(3, 1)

    def loss(self, rng):
        x = torch.from_numpy(rng.normal(size=(8, 3))).float()
        return (self.module(x) - x @ TARGET.T).square().mean()

    def picture(self):
        return Image.new("RGB", (2, 2))


@pytest.mark.parametrize("workers", [1, 2])
def test_it_learns_logs_and_draws(tmp_path, workers):
    file = train(Line, tmp_path, Budget(minutes=0.02, workers=workers))
    learnt = nn.Linear(3, 1)
    load_average(learnt, file)
    torch.testing.assert_close(learnt.weight, TARGET, atol=0.05, rtol=0)
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert line["loss"] < 5
    assert list(tmp_path.glob("sample-*.png"))
    assert not list(tmp_path.glob("*.tmp"))


class Pausing(Line):
    """Waits for a second before its first loss."""

    def __init__(self):
        super().__init__()
        self.waits = True

    def loss(self, rng):
        if self.waits:
            time.sleep(1.0)
        self.waits = False
        return super().loss(rng)


@pytest.mark.parametrize("wall", [True, False])
def test_a_pause_takes_minutes_of_the_clock_alone(tmp_path, wall):
    train(Pausing, tmp_path, Budget(minutes=0.01, workers=1, wall=wall))
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert (last["step"] == 1) == wall


def test_it_is_logged_and_saved_on_the_way_as_often_as_the_budget_says(tmp_path):
    often = Budget(minutes=0.01, workers=1, wall=True, checkpoint_minutes=0.002, log_seconds=0.1)
    train(Line, tmp_path, often)
    assert len(list(tmp_path.glob("sample-*.png"))) >= 3
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) >= 4


def test_an_accelerators_process_keeps_its_threads(tmp_path, monkeypatch):
    set_to = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    train(Line, tmp_path / "wall", Budget(minutes=0.001, workers=1, wall=True))
    assert set_to == []
    train(Line, tmp_path / "cores", Budget(minutes=0.001, workers=1))
    assert set_to == [1]


def test_one_that_is_asked_to_end_saves_first(tmp_path):
    class Ending(Line):
        def loss(self, rng):
            os.kill(os.getpid(), signal.SIGTERM)
            return super().loss(rng)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="the checkpoint is whole"):
        train(Ending, tmp_path, Budget(minutes=60, workers=1))
    assert signal.getsignal(signal.SIGTERM) == before
    again = Progress(Line())
    again.load(tmp_path / "checkpoint.safetensors")
    assert again.step == 1


def test_it_goes_on_where_it_was_and_stops_when_it_is_done(tmp_path):
    train(Line, tmp_path, Budget(minutes=0.01, workers=1))
    first = (tmp_path / "checkpoint.safetensors").read_bytes()
    train(Line, tmp_path, Budget(minutes=0.01, workers=1))
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == first
    train(Line, tmp_path, Budget(minutes=0.03, workers=1))
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert len(steps) == 2


def test_a_checkpoint_holds_everything(tmp_path):
    torch.manual_seed(0)
    one = Progress(Line())
    data = torch.randn(8, 3)

    def advance(progress):
        (progress.stage.module(data) - data @ TARGET.T).square().mean().backward()
        progress.update(0.3)
        progress.optimizer.zero_grad(set_to_none=False)

    for _ in range(5):
        advance(one)
    one.save(tmp_path / "c.safetensors")
    other = Progress(Line())
    other.load(tmp_path / "c.safetensors")
    for _ in range(3):
        advance(one)
        advance(other)
    assert one.step == other.step == 8
    for name, p in one.parameters.items():
        assert torch.equal(p, other.parameters[name])
        assert torch.equal(one.averages[name], other.averages[name])


def test_the_learning_rate_rises_holds_and_falls_to_nothing():
    factors = [learning_rate_factor(p / 1000) for p in range(1001)]
    assert factors[0] == 0
    assert factors[10] == factors[449] == 1
    assert factors[1000] == 0
    assert factors[450:] == sorted(factors[450:], reverse=True)
