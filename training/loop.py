"""One training loop for every stage, with a moving average of the weights and checkpoints that
survive a kill.

On a CPU, workers of one thread each; on an accelerator, this process alone.

Two processes of one thread with summed gradients beat one process of two threads on a small busy
machine. The state is safetensors, written aside and renamed, so that a kill at any moment leaves
the last whole checkpoint.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from training.workers import Mean, Workers, work_together

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a stage trains, over all its runs, and on how many single-threaded workers.

    ``minutes`` are what a worker computes, so that a busy machine or a pause takes none of them;
    with ``wall`` they are those of the clock, as an accelerator's are, and the process keeps its
    threads. It is logged every ``log_seconds``, saved and drawn every ``checkpoint_minutes``.
    """

    minutes: float
    wall: bool = False
    workers: int = 2
    seed: int = 0
    checkpoint_minutes: float = 8.0
    log_seconds: float = 30.0


class Stage(Protocol):
    """What a stage gives to the loop: something that learns, a loss on fresh data, a picture of how
    far it is.
    """

    module: Any  # a torch module, called in the way of its own class
    learning_rate: float
    average: float  # decay of the moving average of the weights
    images_a_step: int

    def loss(self, rng: np.random.Generator) -> Tensor: ...

    def picture(self) -> Image.Image: ...


def learning_rate_factor(progress: float, hold: float = 0.45) -> float:
    """A short rise, constant until ``hold`` of the budget, then linear to 0."""
    rise = min(1.0, progress / 0.01)
    return rise * (1.0 if progress < hold else max(0.0, (1.0 - progress) / (1.0 - hold)))


class Progress:
    """Module, average and optimizer of one worker, and what of them is saved."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.step, self.seconds = 0, 0.0
        self.parameters = dict(stage.module.named_parameters())
        self.averages = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01
        )
        self._moments = {
            name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in self.parameters.items()
        }
        self._attach_moments()

    def _attach_moments(self) -> None:
        for name, p in self.parameters.items():
            first, second = self._moments[name]
            self.optimizer.state[p] = {
                "step": torch.tensor(float(self.step)),
                "exp_avg": first,
                "exp_avg_sq": second,
            }

    def save(self, file: Path) -> None:
        tensors = {f"module.{name}": p.detach() for name, p in self.parameters.items()}
        tensors |= {f"average.{name}": p for name, p in self.averages.items()}
        for name, (first, second) in self._moments.items():
            tensors |= {f"first.{name}": first, f"second.{name}": second}
        aside = file.with_suffix(".tmp")
        save_file(
            {name: t.contiguous() for name, t in tensors.items()},
            aside,
            {"step": str(self.step), "seconds": str(self.seconds), "device": self._device()},
        )
        os.replace(aside, file)

    def _device(self) -> str:
        """What it trains on, as the card names it."""
        device = next(iter(self.parameters.values())).device
        return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"

    @torch.no_grad()
    def load(self, file: Path) -> None:
        with safe_open(file, "pt") as stored:
            notes = stored.metadata()
            self.step, self.seconds = int(notes["step"]), float(notes["seconds"])
            for name, p in self.parameters.items():
                p.copy_(stored.get_tensor(f"module.{name}"))
                self.averages[name].copy_(stored.get_tensor(f"average.{name}"))
                for target, kind in zip(self._moments[name], ("first", "second"), strict=True):
                    target.copy_(stored.get_tensor(f"{kind}.{name}"))
        self._attach_moments()

    def update(self, progress: float) -> None:
        """One optimizer step with the gradients that stand in the parameters."""
        nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimizer.param_groups[0]["lr"] = self.stage.learning_rate * learning_rate_factor(
            progress
        )
        self.optimizer.step()
        self.step += 1
        decay = min(self.stage.average, self.step / (self.step + 10))
        torch._foreach_lerp_(
            list(self.averages.values()), [p.detach() for p in self.parameters.values()], 1 - decay
        )


@torch.no_grad()
def load_average(module: nn.Module, file: Path) -> None:
    """Put the averaged weights of a checkpoint into ``module``."""
    with safe_open(file, "pt") as stored:
        for name, p in module.named_parameters():
            p.copy_(stored.get_tensor(f"average.{name}"))


def _share_gradients(parameters: list[nn.Parameter], own: Tensor, mean: Mean) -> Tensor:
    """Put the workers' mean of the gradients in place of this worker's; returns the mean of ``own``
    too.
    """
    shared = mean([torch.zeros_like(p) if p.grad is None else p.grad for p in parameters] + [own])
    position = 0
    for p in parameters:
        if p.grad is not None:
            p.grad.copy_(shared[position : position + p.numel()].view_as(p))
        position += p.numel()
    return shared[position:]


def _log(
    folder: Path, state: Progress, budget: Budget, loss: float, since: float, steps: int
) -> None:
    rate = steps * state.stage.images_a_step * budget.workers / max(since, 1e-9)
    line = {
        "step": state.step,
        "minutes": round(state.seconds / 60, 2),
        "of": budget.minutes,
        "loss": round(loss, 5),
        "images_a_second": round(rate, 1),
    }
    with (folder / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    print(
        f"{folder.name}: {line['minutes']:.1f} of {budget.minutes:g} min, step {state.step}, "
        f"loss {loss:.4f}, {rate:.0f} images/s",
        flush=True,
    )


def _checkpoint(folder: Path, state: Progress) -> None:
    """Save, and draw the sample picture with the averaged weights."""
    state.save(folder / CHECKPOINT)
    now = {name: p.detach().clone() for name, p in state.parameters.items()}
    with torch.no_grad():
        for name, p in state.parameters.items():
            p.copy_(state.averages[name])
        state.stage.picture().save(folder / f"sample-{state.step:06d}.png")
        for name, p in state.parameters.items():
            p.copy_(now[name])


class _Asked:
    """Whether this process was asked to end (SIGTERM): it then saves first.

    One of several workers is not: the others would wait for it.
    """

    def __init__(self, alone: bool) -> None:
        self.to_end = False
        self._alone = alone

    def __enter__(self) -> _Asked:
        if self._alone:
            self._before = signal.signal(signal.SIGTERM, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        if self._alone:
            signal.signal(signal.SIGTERM, self._before)

    def _hear(self, *_: object) -> None:
        self.to_end = True


class _Record:
    """Logs and saves a stage as often as its budget says."""

    def __init__(self, folder: Path, state: Progress, budget: Budget) -> None:
        self._folder, self._state, self._budget = folder, state, budget
        self._logged = self._saved = state.seconds
        self._losses: list[float] = []

    def __call__(self, loss: float, ends: bool) -> None:
        """After a step with this loss, the last one if it ``ends``."""
        self._losses.append(loss)
        seconds = self._state.seconds
        if seconds - self._logged > self._budget.log_seconds or ends:
            steps, spent = len(self._losses), seconds - self._logged
            mean = sum(self._losses) / steps
            _log(self._folder, self._state, self._budget, mean, spent, steps)
            self._logged, self._losses = seconds, []
        if seconds - self._saved > 60 * self._budget.checkpoint_minutes or ends:
            _checkpoint(self._folder, self._state)
            self._saved = seconds


def _begin(make_stage: Callable[[], Stage], folder: Path, budget: Budget) -> Progress:
    """The stage as far as it was trained."""
    if not budget.wall:
        torch.set_num_threads(1)
    torch.manual_seed(budget.seed)
    state = Progress(make_stage())
    if (folder / CHECKPOINT).exists():
        state.load(folder / CHECKPOINT)
    return state


def _work(
    rank: int, workers: Workers, make_stage: Callable[[], Stage], folder: Path, budget: Budget
) -> None:
    state = _begin(make_stage, folder, budget)
    rng = np.random.default_rng([budget.seed, rank, state.step])
    torch.manual_seed(int(rng.integers(2**62)))
    parameters = list(state.parameters.values())
    numbers = sum(p.numel() for p in parameters) + 2
    mean = Mean(workers, rank, numbers) if workers.count > 1 else None
    record, clock = _Record(folder, state, budget), _clock(budget)
    last, progress = clock(), state.seconds / (60 * budget.minutes)
    with _Asked(alone=mean is None) as asked:
        while progress < 1:
            loss = state.stage.loss(rng)
            loss.backward()
            now = clock()
            state.seconds, last = state.seconds + now - last, now
            own = torch.tensor([loss.item(), state.seconds / (60 * budget.minutes)])
            mean_loss, progress = (
                own.tolist() if mean is None else _share_gradients(parameters, own, mean).tolist()
            )
            state.update(progress)
            state.optimizer.zero_grad(set_to_none=False)
            if rank == 0:
                record(mean_loss, ends=progress >= 1 or asked.to_end)
            if asked.to_end:
                raise SystemExit(f"{folder.name}: asked to end; the checkpoint is whole")


def _clock(budget: Budget) -> Callable[[], float]:
    return time.monotonic if budget.wall else time.process_time


def train(make_stage: Callable[[], Stage], folder: Path, budget: Budget) -> Path:
    """Train a stage to the end of its budget, from its checkpoint when there is one; returns the
    checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / CHECKPOINT
    if file.exists() and _seconds(file) >= 60 * budget.minutes:
        return file
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    work_together(_work, budget.workers, make_stage, folder, budget)
    return file


def _seconds(file: Path) -> float:
    with safe_open(file, "pt") as stored:
        return float(stored.metadata()["seconds"])
