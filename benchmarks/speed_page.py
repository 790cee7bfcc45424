"""``speed.md`` from ``speed.json``, in which each command keeps its part. Words; no measuring."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.page import DOCS as DOCS
from benchmarks.timing import ratio
from safelatent.storage import write_whole
from safelatent.text import counted

Found = dict[str, Any]
QUICK = ("**A quick run: it shows that the command works, and no figure to rely on.**",)


def read(folder: Path) -> Found:
    """Return what is measured so far, by part."""
    file = folder / "speed.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def save(folder: Path, part: str, found: Found) -> Path:
    """Put a part in the place of the one that is there; return the page."""
    kept = read(folder) | {part: found}
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "speed.json", (json.dumps(kept, indent=1) + "\n").encode())
    return write_whole(folder / "speed.md", page(kept).encode())


def page(found: Found) -> str:
    """Return the page, in Markdown."""
    lines = ["# Speed", ""]
    lines += [
        "Made from `speed.json` by the commands that measured it. A figure is a ratio within one",
        "round: every round calls all runs, in turn, so that a slow moment meets all of them. The",
        "median over the rounds, and the least and greatest in brackets.",
        "",
    ]
    if "speed" in found:
        lines += _speed(found["speed"])
    if "throughput" in found:
        lines += _throughput(found["throughput"])
    return "\n".join(lines)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _where(found: Found) -> list[str]:
    m = found["machine"]
    return [
        f"Measured by {' and '.join(f'`{command}`' for command in found['commands'])}",
        f"on {m['processor']}, {counted(m['cores'], 'core')} (load before: {m['load before']}),",
        f"{counted(m['threads'], 'thread')}, torch {m['torch']}, diffusers {m['diffusers']}.",
        *(QUICK if any("--quick" in command for command in found["commands"]) else ()),
        "",
    ]


def _speed(found: Found) -> list[str]:
    lines = ["## A call", "", *_where(found)]
    lines += [
        "Evaluations are counted per image at the denoiser's last layer. The large models have",
        "random weights, on which times do not depend, and are drawn at few pixels and steps.",
        "",
    ]
    for name, case in found["cases"].items():
        lines += [f"### {name[0].upper()}{name[1:]}", "", *_case(case), ""]
    return lines


def _case(case: Found) -> list[str]:
    counted, times, base = case["evaluations"], case["seconds"], case["base"]
    head = [
        "run",
        *(["evaluations"] if counted else []),
        f"time of {base}",
        "seconds",
        "rounds",
    ]
    rows: list[list[str]] = []
    for name, seconds in times.items():
        r = ratio(times, name, base)
        count = [f"{counted[name]:g}"] if counted else []
        spread = f"{_short(r.median)} ({_short(r.least)} to {_short(r.greatest)})"
        rows.append([name, *count, spread, f"{statistics.median(seconds):.4g}", str(len(seconds))])
    lines = table(head, rows)
    if case["left out"]:
        reasons = "; ".join(f"{name}: {why}" for name, why in case["left out"].items())
        lines += ["", f"Left out: {reasons}."]
    return lines


def _short(value: float) -> str:
    return f"{value:.3f}" if value >= 0.01 else f"{value:.1e}"


def _throughput(found: Found) -> list[str]:
    lines = ["## A run", "", *_where(found)]
    if "busy" in found.get("busy", ()):
        lines += _busy(found["busy"])
    if found.get("growth"):
        lines += [*_GROWTH.splitlines(), "", *_growth(found["growth"]), ""]
    if found.get("ray"):
        r = found["ray"]
        lines += [
            f"{r['workers']} Ray workers on this machine draw {r['on Ray']:.0f} images per second",
            f"if each batch takes {r['seconds per batch']:g} s in the denoiser, one worker in the",
            f"run's process {r['here']:.0f}: {_percent(r['loss'])} are lost per image.",
            "",
        ]
    return lines


def _busy(found: Found) -> list[str]:
    share, each = found["busy"], found["seconds per image by batch"]
    least, greatest = _percent(share["least"]), _percent(share["greatest"])
    tried = ", ".join(f"{batch}: {seconds:g}" for batch, seconds in each.items())
    return [
        f"On the embedded model ({found['images']} images, {found['steps']} steps) the denoiser",
        f"alone takes {_percent(share['median'])} ({least} to {greatest}) of the time of a run at",
        f"its best batch size, {found['batch']} (seconds per image by batch size: {tried}).",
        "The sampling is the denoiser's, with the guidance and the scheduler; texts, the decoder,",
        "detectors, PNG and saving are not.",
        "",
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


_GROWTH = """### Growth

With a denoiser that does nothing and pictures of 8 x 8 pixels: the plan, the synced files, the
database, and on Ray the transport are measured. *Start* is the time until the first batch is begun,
*resume* the same where nine tenths are done; the time per image is between the first saved batch
and the last. What of a time this process computed is in brackets: other programs on the machine
do not change it. *Growth* is computing per image, against the shortest run: 1.00 is linear. Memory
is the peak above that of the imports; on Ray, of the process that writes."""


def _growth(engines: Found) -> list[str]:
    head = ["engine", "images", "start", "per image", "growth", "resume", "MB", "report", "MB"]
    rows = [
        [engine, f"{int(images):,}", *_stages(lengths[images], lengths[min(lengths, key=int)])]
        for engine, lengths in engines.items()
        for images in sorted(lengths, key=int)
    ]
    return table(head, rows)


def _stages(found: Found, shortest: Found) -> list[str]:
    """A run's cells; empty where a stage is not measured yet."""
    cells = [""] * 7
    if "begin" in found:
        begin = found["begin"]
        cells[0] = _both(begin, "start", "start processor")
        cells[1] = f"{_each(begin, 'seconds'):.1f} ms ({_each(begin, 'processor'):.2f})"
        cells[2] = f"{_each(begin, 'processor') / _each(shortest['begin'], 'processor'):.2f}"
        cells[4] = f"{begin['peak MB']:.0f}"
    if "resume" in found:
        cells[3] = _both(found["resume"], "start", "start processor")
        cells[4] = f"{max(found[stage]['peak MB'] for stage in ('begin', 'resume')):.0f}"
    if "report" in found:
        report = found["report"]
        cells[5:] = [_both(report, "seconds", "processor"), f"{report['peak MB']:.0f}"]
    return cells


def _both(stage: Found, time: str, computed: str) -> str:
    return f"{stage[time]:.2f} s ({stage[computed]:.2f})"


def _each(stage: Found, what: str) -> float:
    """Milliseconds per image."""
    return 1e3 * stage[what] / max(1, stage["images"])
