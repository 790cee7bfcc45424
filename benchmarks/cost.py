"""What guidance costs, as a formula and as measured: ``python -m benchmarks.cost`` writes
``docs/cost.md``.

The measured part is of ``docs/plans-measured.json``, which ``python -m benchmarks.plans`` makes;
what the rows of an image share, of ``docs/prefix.json``, by ``python -m benchmarks.prefix``.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.plans_page import DOCS, JSON, PICTURE
from safelatent.errors import BadValueError
from safelatent.evaluation.numbers import number
from safelatent.guidance import (
    EXACT,
    FAST,
    PRESETS,
    NegativePrompt,
    Plan,
    paper_noise_level,
)
from safelatent.storage import write_whole
from safelatent.text import counted

PAGE, PREFIX = DOCS / "cost.md", DOCS / "prefix.json"
I2P_IMAGES = 4520 * 10  # the rows that give a prompt (docs/prompts.md), ten images each
LEVELS = tuple(paper_noise_level(i) for i in range(50))
# Assumptions, to be replaced by what ``make gpu`` and ``bench run`` measure on the machine.
ASSUMED = {"seconds": 0.02, "beside": 0.15, "busy": 0.9}
MEANING = {
    "seconds": "that one evaluation of one image takes",
    "beside": "seconds per image for text, decoder, detectors and disk",
    "busy": "share of the time in which a GPU computes",
}


def evaluations(plan: Plan = EXACT) -> dict[str, int]:
    """Return the evaluations of the denoiser per image for six methods, 50 steps; the presets
    follow ``plan``.
    """
    found = {
        "off": 2 * len(LEVELS),
        "negative prompt": EXACT.on(NegativePrompt(), LEVELS).evaluations,
    }
    return found | {name: plan.on(sld, LEVELS).evaluations for name, sld in PRESETS.items()}


def least(steps: int) -> int:
    """Return what no plan goes below: the prompt's evaluation at every step, and the two others
    once.
    """
    return steps + 2


def hours(
    methods: Mapping[str, int],
    images: int,
    *,
    seconds: float,
    beside: float = 0.0,
    gpus: int = 1,
    busy: float = 1.0,
) -> float:
    """Return the hours of a run.

    Args:
        methods: evaluations per image, by name.
        images: of each method.
        seconds: of one evaluation of one image, at the batch size of the run.
        beside: seconds per image of all else: text encoder, decoder, detectors, disk.
        gpus: among which images are divided; they share nothing.
        busy: share of the time in which a GPU computes.

    Raises:
        BadValueError: a number that breaks its rule.
    """
    for name, value, holds, rule in (
        ("images", images, images >= 1, "at least 1"),
        ("seconds", seconds, 0 < seconds < math.inf, "above 0"),
        ("beside", beside, 0 <= beside < math.inf, "at least 0"),
        ("gpus", gpus, gpus >= 1, "at least 1"),
        ("busy", busy, 0 < busy <= 1, "above 0 and at most 1"),
    ):
        if not holds:
            raise BadValueError(f"{name} is {value:g}; it must be {rule}")
    work = images * sum(each * seconds + beside for each in methods.values())
    return work / (3600 * gpus * busy)


def page(found: dict[str, Any] | None, prefix: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page.

    Args:
        found: the JSON of ``benchmarks.plans``, None before it was run.
        prefix: that of ``benchmarks.prefix``.
    """
    exact, fast = evaluations(), evaluations(FAST)
    lines = [f"| {n} | {exact[n]} | {fast[n]} | {number(fast[n] / 100)} |" for n in exact]
    return "\n".join(
        [
            *_MODEL.format(least=least(50), ratio=number(least(50) / 100)).splitlines(),
            "",
            "| 50 steps | `exact` | `fast` | `fast` against plain guidance |",
            "|---|---|---|---|",
            *lines,
            "",
            *_shared(prefix),
            "",
            *_measured(found),
            "",
            *_planning(exact, fast),
            "",
        ]
    )


def _shared(prefix: Mapping[str, Mapping[str, Any]]) -> list[str]:
    shares = {name: one["before"] / one["whole"] for name, one in prefix.items()}
    lines = [
        f"| {name} | `{prefix[name]['reads']}` | {_percent(share)} | {_percent(2 * share / 3)} |"
        for name, share in shares.items()
    ]
    return [
        *_SHARED.format(most=_percent(2 * max(shares.values()) / 3)).splitlines(),
        "",
        "| denoiser | first layer that reads the text | operations before it | saved per step |",
        "|---|---|---|---|",
        *lines,
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _planning(exact: Mapping[str, int], fast: Mapping[str, int]) -> list[str]:
    lines = [*_HOURS.format(images=I2P_IMAGES, **ASSUMED).splitlines(), ""]
    lines += ["| GPUs | hours, `exact` | hours, `fast` |", "|---|---|---|"]
    for gpus in (1, 8):
        both = [number(hours(m, I2P_IMAGES, gpus=gpus, **ASSUMED), 1) for m in (exact, fast)]
        lines.append(f"| {gpus} | {both[0]} | {both[1]} |")
    return lines


def _measured(found: dict[str, Any] | None) -> list[str]:
    made = "`python -m benchmarks.plans` makes the curve and its tables"
    if found is None:
        return ["## The measured curve", "", f"{made}; it was not run on these weights yet."]
    return [
        "## The measured curve",
        "",
        f"![evaluations against inappropriate images]({PICTURE.name})",
        "",
        f"{made} ([plans-measured.md](plans-measured.md)), here",
        f"of the weights `{found['weights'][:12]}`; other weights were not measured.",
        "Time against plain guidance, with quartiles, on held-out prompts:",
        "",
        "| steps | arm | evaluations | time |",
        "|---|---|---|---|",
        *_times(found["rows"]),
    ]


def _times(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"| {r['steps']} | `{r['arm']}` | {number(r['evaluations'], 1)} | {number(r['time'][0])} "
        f"({number(r['time'][1])} to {number(r['time'][2])}) |"
        for r in rows
        if r["set"] == "held-out" and r["time"] and r["evaluations"]
    ]


_MODEL = """# What guidance costs

Made by `python -m benchmarks.cost`.

An image of N steps costs

    seconds = text + N * overhead + E * t + decoder

where E counts evaluations of the denoiser per image and t is the time of one. The guidance's own
arithmetic is part of the overhead, and less than a thousandth of a step. Plain classifier-free
guidance has E = 2 N. A guarded step adds the concept's evaluation: E = 3 N at most. A plan
([plans.md](plans.md)) says which of them are made:

    E = N + n_u + n_S

with n_u unconditional evaluations and n_S of the concept. t is not one number: a batch of few rows
costs more per row than one of many, so that an evaluation that is left out saves less time than
its share where batches are small.

## The bound

The prompt's evaluation is needed at every step: without training, nothing else knows the
prediction at new latents. Any guidance needs each of the other two at least once. So no plan goes
below N + 2 evaluations: {least} of 50 steps, {ratio} of plain guidance. Time goes below that only
by making an evaluation itself cheaper (fewer steps, caches inside the denoiser, compilation),
which helps plain guidance alike.
"""

_SHARED = """## What the rows of an image share

The three rows of an image in a guided step have the same latents, so that all values are the same
until a layer reads the text. `python -m benchmarks.prefix` counts the floating point operations
before it, by the sizes of the denoisers, at each one's own image size; computed once instead of
three times, two thirds of them are saved. In SDXL and SD3 the pooled text is part of the time's
embedding, which the first block reads.

It is not shared. At most {most} of a guarded step's operations would be saved, and those only where
all three rows are one call. diffusers has no way to run a part of a denoiser for other rows than
the rest, so that the first layers would have to be wrapped one by one, inside of what
`torch.compile` compiles and what caches, adapters and attention processors replace.
"""

_HOURS = """## Planning a run

I2P has {images:,} images per method: 10 of each of the 4,520 prompts that its 4,703 rows give
([prompts](prompts.md)). With six methods (off, negative prompt, and the four presets), 50 steps
each,

    hours = images * sum over methods (E * t + beside) / (3600 * GPUs * busy)

which is `benchmarks.cost.hours`: `beside` is the seconds per image for text, decoder, detectors and
disk, `busy` the share of the time in which a GPU computes. The table assumes t = {seconds} s per
evaluation of an image, beside = {beside} s, busy = {busy:.0%}, and images divided evenly among the
GPUs. These are assumptions, not measurements: give your own
with `python -m benchmarks.cost --seconds T --beside S --busy SHARE`, T from `make gpu`.
"""


def write(json_file: Path = JSON, file: Path = PAGE) -> str:
    """Write the page from the JSON, where there is one, and return it."""
    found = json.loads(json_file.read_text(encoding="utf-8")) if json_file.exists() else None
    text = page(found, json.loads(PREFIX.read_text(encoding="utf-8")))
    write_whole(file, text.encode())
    return text


def main() -> None:
    """Write the page, or print the hours of other assumptions."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    for name, value in ASSUMED.items():
        parser.add_argument(f"--{name}", type=float, help=f"{MEANING[name]} (assumed: {value:g})")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    if not given:
        print(write())
        return
    try:
        for gpus in (1, 8):
            for plan in (EXACT, FAST):
                found = hours(evaluations(plan), I2P_IMAGES, gpus=gpus, **(ASSUMED | given))
                print(f"{counted(gpus, 'GPU')}, {plan}: {found:.1f} hours")
    except BadValueError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
