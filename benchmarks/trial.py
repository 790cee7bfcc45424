"""Ways to sample, on the same prompts and noise: draw, judge, count, keep, compare.

A unit is some prompts of one set through every arm, the unguarded one first. What a unit found is
appended to a file of JSON lines and synced, so a stopped trial resumes and more arms, prompts or
steps make it grow. Knows the embedded model's judge and CLIP; does not know what the arms are.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from tqdm import tqdm

from benchmarks.timing import denoiser_rows
from safelatent.detectors import embedded_judge, examine
from safelatent.errors import SafelatentError
from safelatent.evaluation.numbers import difference_interval, interval, number, signed
from safelatent.features.extractor import extractor
from safelatent.hashing import digest
from safelatent.metrics import paired_difference, rate
from safelatent.models import model_digest
from safelatent.models.load import EMBEDDED

Record = dict[str, Any]
OFF = "off"
VERDICTS = ("safe", "inappropriate")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image to draw.

    Attributes:
        of: the name of its set.
        key: what distinguishes it from all others of the set.
        negative: the negative prompt.
    """

    of: str
    key: str
    prompt: str
    seed: int
    negative: str = ""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Arms by name, each a call with the pipeline's own arguments; ``off`` is the pipeline itself.

    Attributes:
        pipe: of the embedded model's kind, with a UNet.
        arms: guarded pipelines.
        file: of JSON lines, for these weights and this judge.
    """

    pipe: Any
    arms: Mapping[str, Callable[..., Any]]
    file: Path

    def run(self, cases: Sequence[Case], steps: int, batch: int) -> list[Record]:
        """Draw what the file lacks, and return the records of all cases and arms at ``steps``."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        known = self.kept()
        groups = list(units(cases, batch))
        for unit in tqdm(groups, desc=f"{steps} steps", leave=False):
            names = [OFF, *self.arms]
            missing = [n for n in names if any((n, steps, c.of, c.key) not in known for c in unit)]
            if missing:
                found = self._unit(unit, steps, missing)
                self._append(found)
                known |= {_name(record): record for record in found}
        wanted = [(n, steps, c.of, c.key) for n in (OFF, *self.arms) for c in cases]
        return [known[name] for name in wanted]

    def kept(self) -> dict[tuple[str, int, str, str], Record]:
        """Return the records in the file by arm, steps, set and key."""
        return {_name(record): record for record in self._read()}

    def _unit(self, unit: Sequence[Case], steps: int, names: Sequence[str]) -> list[Record]:
        plain = self._drawn(OFF, self.pipe, unit, steps)  # what all others are measured against
        records: list[Record] = []
        for name in names:
            drawn = plain if name == OFF else self._drawn(name, self.arms[name], unit, steps)
            judged = examine(embedded_judge(), [image for image, _ in drawn if image is not None])
            verdicts = iter(judged)
            for case, (image, record), (own, beside) in zip(unit, drawn, plain, strict=True):
                if image is None:
                    records.append(record | {"label": "error"})
                    continue
                apart = np.abs(np.asarray(image, float) - np.asarray(own, float)).mean() / 255
                found = {"label": next(verdicts).label, "distance": round(float(apart), 5)}
                found["plain seconds"] = beside["seconds"]
                records.append(record | found | {"clip": _similarity(image, case.prompt)})
        return records

    def _drawn(
        self, name: str, sampler: Callable[..., Any], unit: Sequence[Case], steps: int
    ) -> list[tuple[Any, Record]]:
        """Images with what is known of them; None and the reason where the guard refused."""
        start = time.perf_counter()
        try:
            with denoiser_rows(self.pipe) as rows:
                out = sampler(**arguments(unit, steps))
        except SafelatentError as error:
            if len(unit) > 1:  # one that is refused does not spoil its neighbours
                return [d for case in unit for d in self._drawn(name, sampler, [case], steps)]
            return [(None, _record(name, steps, unit[0], {"reason": str(error)}))]
        seconds = (time.perf_counter() - start) / len(unit)
        counted = {"evaluations": sum(rows) / len(unit), "seconds": round(seconds, 4)}
        receipts = [None] * len(unit) if name == OFF else out.receipts
        return [
            (image, _record(name, steps, case, counted | _of_receipt(receipt)))
            for case, image, receipt in zip(unit, out.images, receipts, strict=True)
        ]

    def _read(self) -> Iterator[Record]:
        if not self.file.exists():
            return
        for line in self.file.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:  # the last line of a trial that was killed
                continue

    def _append(self, records: Sequence[Record]) -> None:
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        begun = self.file.exists() and not self.file.read_bytes().endswith(b"\n")
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write("\n" * begun + text)
            stream.flush()
            os.fsync(stream.fileno())


def trial_file(out: Path, safety: str) -> Path:
    """Return the file of a trial: another for other weights, another judge, another strength."""
    key = digest([model_digest(EMBEDDED), embedded_judge().fingerprint(), safety])[:12]
    return out / f"{safety}-{key}.jsonl"


def multistep(scheduler: Any) -> Any:
    """Return DPM++ 2M of the scheduler's noise levels: what people run few steps with."""
    return DPMSolverMultistepScheduler.from_config(scheduler.config)


def arguments(unit: Sequence[Case], steps: int) -> dict[str, Any]:
    """Return a call's arguments: each image's noise comes from its own seed."""
    return {
        "prompt": [case.prompt for case in unit],
        "negative_prompt": [case.negative for case in unit],
        "generator": [torch.Generator().manual_seed(case.seed) for case in unit],
        "num_inference_steps": steps,
    }


def slowness(record: Record, off: Record) -> float | None:
    """Return the time against plain guidance in the same unit, which is drawn again for it where
    the unit was drawn before; None where an image was refused.

    Args:
        off: of plain guidance, whose time counts where the record has none of its unit.
    """
    if "seconds" not in record or "seconds" not in off:
        return None
    return record["seconds"] / record.get("plain seconds", off["seconds"])


def table(records: Sequence[Record], reference: str) -> list[str]:
    """Return Markdown: a row per set and arm, and the paired difference to the arm ``reference``.

    Where an image cannot be judged, its pair is in no difference. Errors are images that the guard
    refused: no image left.
    """
    heads = ("set", "arm", "images", "evaluations", "time", "inappropriate", f"minus {reference}")
    heads += ("unusable", "errors", "distance to unguarded", "CLIP")
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for of in dict.fromkeys(r["set"] for r in records):
        mine = [r for r in records if r["set"] == of]
        arms = {
            n: [r for r in mine if r["arm"] == n] for n in dict.fromkeys(r["arm"] for r in mine)
        }
        for name, rows in arms.items():
            lines.append(_row(of, name, rows, arms[reference], arms[OFF]))
    return lines


def _row(of: str, name: str, rows: list[Record], reference: list[Record], off: list[Record]) -> str:
    judged = [r for r in rows if r["label"] in VERDICTS]
    share = rate([r["label"] == VERDICTS[1] for r in judged], [r["prompt"] for r in judged])
    pairs = [
        (a, b)
        for a, b in zip(rows, reference, strict=True)
        if a["label"] in VERDICTS and b["label"] in VERDICTS
    ]
    mine, theirs = ([pair[n]["label"] == VERDICTS[1] for pair in pairs] for n in (0, 1))
    change = paired_difference(mine, theirs, [a["prompt"] for a, _ in pairs])
    drawn = [r for r in rows if r["label"] != "error"]
    found = (slowness(a, b) for a, b in zip(rows, off, strict=True))
    ratios = [ratio for ratio in found if ratio is not None]
    unusable = sum(r["label"] == "unusable" for r in rows)
    cells = [
        of,
        name,
        str(len(rows)),
        _mean(drawn, "evaluations", 1),
        number(statistics.median(ratios) if ratios else float("nan")),
        f"{number(share.value, 3)} ({interval(share, 3)})",
        f"{signed(change.difference, 3)} ({difference_interval(change)})",
        str(unusable),
        str(len(rows) - len(drawn)),
        _mean(drawn, "distance", 4),
        _mean(drawn, "clip", 3),
    ]
    return f"| {' | '.join(cells)} |"


def _mean(rows: Sequence[Record], name: str, digits: int) -> str:
    return number(statistics.fmean(r[name] for r in rows) if rows else float("nan"), digits)


def units(cases: Sequence[Case], batch: int) -> Iterator[list[Case]]:
    """Yield the cases in groups of one set, at most ``batch`` each."""
    for of in dict.fromkeys(case.of for case in cases):
        mine = [case for case in cases if case.of == of]
        for n in range(0, len(mine), batch):
            yield mine[n : n + batch]


def _name(record: Record) -> tuple[str, int, str, str]:
    return record["arm"], record["steps"], record["set"], record["key"]


def _record(name: str, steps: int, case: Case, found: Record) -> Record:
    known = {"arm": name, "steps": steps, "set": case.of, "key": case.key, "prompt": case.prompt}
    return known | {"seed": case.seed, "negative": case.negative} | found


def _of_receipt(receipt: Any) -> Record:
    if receipt is None:
        return {}
    values = receipt.as_dict()
    kept = ("guided_steps", "gate_open", "gamma_ratio", "categories")
    return {name: values[name] for name in kept if values.get(name) is not None} | {
        "claimed": receipt.evaluations
    }


def _similarity(image: Any, text: str) -> float:
    """The cosine of image and prompt in the embedded CLIP."""
    clip = _clip()
    a, b = clip.images([image.convert("RGB")])[0], clip.texts([text])[0]
    return round(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))), 5)


@cache
def _clip() -> Any:
    return extractor()
