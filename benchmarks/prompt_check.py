"""What the prompt check refuses of prompts that it was not fitted to: ROC curves, and the working
point. ``python -m benchmarks.prompt_check --i2p FILE --drawbench FILE``, with ``--write`` into
``docs/policy.md`` and ``docs/prompt-check.svg``.

All prompts are read by the embedded model's text encoder, those of I2P and DrawBench too.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.page import DOCS, Measured
from benchmarks.plot import axes, svg
from safelatent import load
from safelatent.cli.say import quiet_libraries
from safelatent.policy.normal_text import normal_text
from safelatent.policy.prompt_check import Calibration, calibrate, features
from safelatent.policy.prompt_fit import figures
from safelatent.prompts import drawbench, embedded_benign, embedded_i2p, embedded_i2p_train, i2p
from safelatent.storage import write_whole

COMMAND = "python -m benchmarks.prompt_check --write"
PART = Measured(page=DOCS / "policy.md", name="prompt check", command=COMMAND)
PICTURE = DOCS / "prompt-check.svg"
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)  # of harmless prompts, at which the curve is read
COLOURS = ("#1f6fb4", "#c0392b")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Labelled prompts.

    Attributes:
        unsafe, benign: what the check is fitted to, but for the last quarter of each.
        held: unsafe prompts that none of it saw; None: the last quarter of ``unsafe``.
    """

    name: str
    unsafe: Sequence[str]
    benign: Sequence[str]
    held: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The scores of a corpus's held-out prompts, (n,) each, and the threshold of its check."""

    name: str
    unsafe: np.ndarray
    benign: np.ndarray
    threshold: float

    @property
    def figures(self) -> Mapping[str, Any]:
        """Refused shares with their intervals, and the area under the curve."""
        return figures({"unsafe": self.unsafe, "benign": self.benign}, self.threshold)


def corpora(i2p_file: Path, drawbench_file: Path) -> list[Corpus]:
    """Return the embedded sets, and I2P's texts with DrawBench's."""

    def texts(prompts: Iterable[Any]) -> list[str]:
        return [one.text for one in prompts]

    return [
        Corpus(
            name="embedded-i2p and embedded-benign",
            unsafe=texts(embedded_i2p_train()),
            benign=texts(embedded_benign()),
            held=texts(embedded_i2p()),
        ),
        Corpus(
            name="I2P and DrawBench",
            unsafe=texts(i2p(i2p_file)),
            benign=texts(drawbench(drawbench_file)),
        ),
    ]


def measured(pipe: Any, corpus: Corpus) -> Scored:
    """Fit the check to a corpus and score what it did not see."""
    bar = lambda read: tqdm(read, desc=corpus.name, leave=False)  # noqa: E731
    found = calibrate(pipe, corpus.unsafe, corpus.benign, progress=bar)
    unsafe = corpus.unsafe[3::4] if corpus.held is None else corpus.held
    return Scored(
        name=corpus.name,
        unsafe=_scores(pipe, found, bar(unsafe)),
        benign=_scores(pipe, found, bar(corpus.benign[3::4])),
        threshold=found.threshold,
    )


def _scores(pipe: Any, check: Calibration, texts: Iterable[str]) -> np.ndarray:
    read = torch.stack([features(pipe, normal_text(text)) for text in texts])
    return check.score(read).numpy()


def curve(unsafe: np.ndarray, benign: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of harmless and of unsafe prompts that every threshold refuses, from none
    to all: the ROC curve.
    """
    at = np.sort(np.unique(np.concatenate([unsafe, benign])))[::-1]
    shares = [
        np.concatenate([[0.0], (values[:, None] >= at).mean(axis=0)]) for values in (benign, unsafe)
    ]
    return shares[0], shares[1]


def lines(scored: Sequence[Scored]) -> Iterator[str]:
    """Yield the part of the page."""
    yield (
        "In the embedded model's text encoder. It was trained on nine tenths of I2P's prompts and"
        " none of DrawBench's, so the second row is optimistic:"
    )
    yield ""
    read = [f"{share:.0%}" for share in SHARES]
    head = ["prompts", "unsafe", "harmless", "area", *read]
    yield f"| {' | '.join([*head, 'working point: unsafe', 'harmless'])} |"
    yield f"|{'---|' * (len(head) + 2)}"
    for one in scored:
        found, (harmless, unsafe) = one.figures, curve(one.unsafe, one.benign)
        numbers = [len(one.unsafe), len(one.benign), f"{found['auc']:.3f}"]
        numbers += [f"{unsafe[harmless <= share].max():.1%}" for share in SHARES]
        points = (found["unsafe"], found["benign"])
        numbers += [f"{p['refused']:.1%} ({p['low']:.1%} to {p['high']:.1%})" for p in points]
        yield f"| {' | '.join(map(str, [one.name, *numbers]))} |"
    yield ""
    yield (
        "Refused shares of unsafe prompts where at most so many of the harmless ones are refused,"
        " read off the curve; and at the working point, which other prompts chose, with 95 %"
        " intervals. None of these prompts was fitted to."
    )
    yield ""
    yield f"![ROC curves]({PICTURE.name})"


def picture(scored: Sequence[Scored]) -> bytes:
    """Return an SVG of the curves, the working points marked."""
    drawn = axes(4.8, 3.8, "share of harmless prompts refused", "share of unsafe prompts refused")
    for one, colour in zip(scored, COLOURS, strict=True):
        drawn.plot(*curve(one.unsafe, one.benign), color=colour, label=one.name, gid=one.name)
        at = (one.figures[kind]["refused"] for kind in ("benign", "unsafe"))
        drawn.plot(*at, marker="o", color=colour)
    drawn.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    drawn.legend(loc="lower right", frameon=False)
    return svg(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prompt_check", description=__doc__)
    parser.add_argument("--i2p", type=Path, required=True, help="I2P's table")
    parser.add_argument("--drawbench", type=Path, required=True, help="DrawBench's table")
    parser.add_argument("--write", action="store_true", help=f"into {PART.page} and {PICTURE}")
    asked = parser.parse_args()
    quiet_libraries()
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    scored = [measured(pipe, one) for one in corpora(asked.i2p, asked.drawbench)]
    said = list(lines(scored))
    print("\n".join(said))
    if asked.write:
        PART.write(said)
        write_whole(PICTURE, picture(scored))


if __name__ == "__main__":
    main()
