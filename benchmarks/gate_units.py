"""SLD's gate in units of noise against the gate in a model's own units: ``python -m
benchmarks.gate_units``.

Both gates meet the embedded model as one that predicts velocity, whatever its own prediction is,
on the same prompts and noise. A part of the measurement is all methods on one batch of prompts. It
is saved under ``--out`` for these weights and settings, so an interruption costs only the parts
under way.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.gate_table import PART, gate_lines
from benchmarks.predictions import as_noise, as_velocity
from safelatent import guard, load
from safelatent.detectors import embedded_judge, examine
from safelatent.guidance import PRESETS, SLD, Correction, Estimates, PresetName, noise_level
from safelatent.guidance import preset as guidance_named
from safelatent.guidance.ordered_call import StepRecord
from safelatent.models import model_digest
from safelatent.models.load import EMBEDDED
from safelatent.prompts import Prompt, embedded_benign, embedded_i2p
from safelatent.storage import write_whole
from training import drawing

SETS = {"unsafe": embedded_i2p, "benign": embedded_benign}
BATCH = 10
# of latents whose spread is about 1: what rounding in single precision leaves of the same pictures
SAME = 1e-4

Record = dict[str, Any]


class GateInVelocity(SLD):
    """The same settings, with the gate on differences of the model's own predictions as if they
    were of noise.
    """

    def correct(
        self, estimates: Estimates, state: Tensor, i: int, unit: float = 1.0
    ) -> tuple[Correction, Tensor]:
        return super().correct(estimates, state, i)


def gates(preset: str, steps: int) -> dict[str, SLD]:
    """The preset with both gates; its warm-up is the same part of the steps as it is of the paper's
    50.
    """
    settings = asdict(guidance_named(cast("PresetName", preset)))
    settings["warmup"] = settings["warmup"] * steps // 50
    return {"noise": SLD(**settings), "velocity": GateInVelocity(**settings)}


@cache
def models() -> tuple[Any, Any]:
    """The embedded model as one that predicts noise, and as one that predicts velocity."""
    torch.set_num_threads(1)
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    return as_noise(pipe), as_velocity(pipe)


def call_of(prompts: list[Prompt], steps: int, seed: int = 0) -> Record:
    """The arguments of a pipeline's call; the noise of a picture depends on its prompt and the seed
    alone.
    """
    generators = [torch.Generator().manual_seed((prompt.seed + seed) % 2**63) for prompt in prompts]
    return {
        "prompt": [prompt.text for prompt in prompts],
        "generator": generators,
        "num_inference_steps": steps,
    }


def agreement(presets: list[str], steps: int, count: int = 2) -> dict[str, float]:
    """Largest difference of latents between the model that predicts noise and itself predicting
    velocity, the gate in noise.
    """
    noise, velocity = models()
    settings: dict[str, SLD | None] = {"unguarded": None}
    for name in presets:
        whole = gates(name, steps)["noise"]
        settings |= {f"{name} without momentum": replace(whole, momentum=0.0)} | (
            {name: whole} if whole.momentum else {}
        )

    def latents(model: Any, guidance: SLD | None) -> Tensor:
        drawn = model if guidance is None else guard(model, guidance)
        return drawn(**call_of(list(embedded_i2p()[:count]), steps), output_type="latent").images

    shown = tqdm(settings.items(), desc="the same pictures?", leave=False)
    return {
        name: float((latents(noise, one) - latents(velocity, one)).abs().max())
        for name, one in shown
    }


@dataclass(frozen=True, kw_only=True)
class Part:
    """All methods on some prompts of a set with one noise each."""

    of: str
    first: int
    last: int
    seed: int
    steps: int
    presets: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.of}-{self.first}-{self.last}-{self.seed}"


def measure(part: Part) -> list[Record]:
    """A record for each picture and method: the verdict, the distance to the unguarded picture, the
    gate by noise level.
    """
    _, model = models()
    prompts = list(SETS[part.of]()[part.first : part.last])
    call = partial(call_of, prompts, part.steps, part.seed)
    plain = model(**call()).images
    records = judged(prompts, plain, plain, {"method": "unguarded"}, [])
    for preset in part.presets:
        for gate, guidance in gates(preset, part.steps).items():
            seen: list[tuple[float, list[float]]] = []
            images = (
                guard(model, guidance)
                .watch(partial(note_gate, seen, guidance.acts_from()), **call())
                .images
            )
            records += judged(prompts, images, plain, {"method": preset, "gate": gate}, seen)
    return records


def note_gate(seen: list[tuple[float, list[float]]], acts_from: int, step: StepRecord) -> None:
    """The level of a guided step, and how far the gate of each picture is open."""
    gate = step.correction.gate
    if step.i >= acts_from and gate is not None:
        seen.append((noise_level(*step.mixture), gate.flatten(1).mean(dim=1).tolist()))


def judged(
    prompts: list[Prompt], images: list[Any], plain: list[Any], method: Record, seen: list[Any]
) -> list[Record]:
    """The records of one method's pictures; the distance is the mean absolute difference of pixels
    in [0, 1].
    """
    records: list[Record] = []
    for n, verdict in enumerate(examine(embedded_judge(), images)):
        distance = float(
            np.abs(np.asarray(images[n], dtype=float) - np.asarray(plain[n], dtype=float)).mean()
            / 255
        )
        opened = [(round(level, 4), round(means[n], 4)) for level, means in seen]
        records.append(
            method
            | {
                "prompt": prompts[n].id,
                "label": verdict.label,
                "distance": distance,
                "gate by level": opened,
            }
        )
    return records


def kept(file: Path, value: Any) -> Any:
    """Save the value, whole or not at all, and return it."""
    write_whole(file, json.dumps(value).encode())
    return value


def measured(parts: list[Part], folder: Path, workers: int) -> dict[str, list[Record]]:
    """The records of every part by set; those saved already are read."""
    files = {part: folder / f"{part.name}.json" for part in parts}
    left = [part for part, file in files.items() if not file.exists()]
    if left:
        with drawing.workers(workers) as pool:
            under_way = {pool.submit(measure, part): part for part in left}
            for done in tqdm(as_completed(under_way), desc="parts", total=len(left)):
                kept(files[under_way[done]], done.result())
    return {
        name: [r for part in parts if part.of == name for r in json.loads(files[part].read_text())]
        for name in SETS
    }


def whole(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError(number)
    return number


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate_units", description=__doc__)
    add, presets = parser.add_argument, list(PRESETS)
    add("--prompts", type=whole, default=60, help="prompts of embedded-i2p")
    add("--benign", type=whole, default=20, help="prompts of embedded-benign")
    add("--seeds", type=whole, default=1, help="pictures per prompt")
    add("--steps", type=whole, default=50, help="denoising steps")
    add("--presets", nargs="+", choices=presets, default=presets, help="measured ones")
    add("--workers", type=whole, default=os.cpu_count() or 1, help="processes")
    add("--out", type=Path, default=Path("out/gate_units"), help="folder of what is measured")
    add("--write", action="store_true", help="put the table into docs/pipelines.md")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write when asked."""
    asked = options()
    counts = {
        name: min(count, len(SETS[name]()))
        for name, count in (("unsafe", asked.prompts), ("benign", asked.benign))
    }
    common: Record = {"steps": asked.steps, "presets": tuple(asked.presets)}
    key = json.dumps(
        [
            model_digest(EMBEDDED),
            embedded_judge().fingerprint(),
            common,
            [SETS[name]().digest for name in SETS],
        ]
    )
    folder = asked.out / hashlib.sha256(key.encode()).hexdigest()[:12]
    same = folder / "agreement.json"
    differences = (
        json.loads(same.read_text())
        if same.exists()
        else kept(same, agreement(asked.presets, asked.steps))
    )
    print(
        "largest difference of latents:",
        ", ".join(f"{name} {value:.1e}" for name, value in differences.items()),
        flush=True,
    )
    if differences["unguarded"] > SAME:
        raise SystemExit(
            "predicting velocity, the model draws other pictures than predicting noise "
            f"({differences['unguarded']:.1e} > {SAME:.0e})"
        )
    parts = [
        Part(of=name, first=n, last=min(n + BATCH, count), seed=seed, **common)
        for name, count in counts.items()
        for seed in range(asked.seeds)
        for n in range(0, count, BATCH)
    ]
    lines = gate_lines(
        measured(parts, folder, asked.workers), differences, asked.presets, asked.steps
    )
    print("\n".join(lines))
    if asked.write:
        PART.write(lines)


if __name__ == "__main__":
    main()
