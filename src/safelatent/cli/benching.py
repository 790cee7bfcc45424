"""What ``bench run`` does once its arguments are sound: load, say what will be done, do it, say what came out."""

from __future__ import annotations

import shlex
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import typer

from safelatent.cli.progress import RunProgress
from safelatent.cli.quiet import quiet_libraries
from safelatent.cli.say import say
from safelatent.prompts import PromptSet
from safelatent.reports.entry import flags, judged
from safelatent.runs.bench import Engine, run
from safelatent.runs.plan import Plan
from safelatent.runs.prepare import Asked, load_parts, settings_of
from safelatent.runs.read import read_run
from safelatent.runs.settings import RunSettings
from safelatent.statistics import rate


def execute(asked: Asked, prompts: PromptSet, out: Path, *, engine: str, address: str | None) -> None:
    """One run, from its start or from where it was stopped, to its table."""
    quiet_libraries()
    say(f"loading {asked.model} and its detectors ...")
    pipe, protocol = load_parts(asked)
    settings = settings_of(asked, prompts, pipe, protocol)
    _announce(settings, prompts, pipe)
    do = _engine(engine, address, asked, settings, pipe, protocol)
    total = len(Plan(settings=settings, prompts=prompts))
    with _sigterm_as_interrupt():
        try:
            _watch(run(out, settings, prompts, do), total)
        except KeyboardInterrupt:
            done = len(read_run(out).rows) if (out / "run.sqlite").exists() else 0
            say(f"\nstopped: {done} of {total} images are done and safe; go on with\n  {_command()}")
            raise
    _summary(out)


def _watch(going: Iterator[Counter[str]], total: int) -> None:
    counts = next(going)
    done = sum(counts.values())
    if done:
        say(f"going on: {done} of {total} images were done before")
    progress = RunProgress(total, done)
    try:
        for counts in going:
            progress.show(counts)
    finally:
        progress.close()


def _engine(name: str, address: str | None, asked: Asked, settings: RunSettings, pipe: Any, protocol: Any) -> Engine:
    if name == "ray":
        from safelatent.runs.ray_engine import model_worker, run_ray

        return partial(run_ray, partial(model_worker, asked, settings), address, settings.device != "cpu")
    from safelatent.runs.local import run_local
    from safelatent.runs.maker import Maker

    return partial(run_local, Maker(pipe, protocol, settings))


def _announce(settings: RunSettings, prompts: PromptSet, pipe: Any) -> None:
    skipped = "; ".join(f"{reason}: {count}" for reason, count in prompts.skipped.items()) or "none"
    say(f"{prompts.name}: {prompts.rows} rows, {len(prompts)} prompts; skipped: {skipped}")
    limit = pipe.tokenizer.model_max_length
    cut = sum(len(pipe.tokenizer(prompt.text, truncation=False, verbose=False).input_ids) > limit for prompt in prompts)
    if cut:
        say(f"note: {cut} prompts have more than the {limit} tokens that the model reads; what comes after is not drawn")
    many = f"{len(prompts)} prompts x {settings.images} images x {len(settings.methods)} methods"
    say(f"{many}, {settings.steps} steps, protocol {settings.protocol} ({settings.protocol_hash[:12]})")


def _summary(out: Path) -> None:
    """The share inappropriate of every method, and what can be done next."""
    found = read_run(out)
    typer.echo(f"{'method':16s} {'inappropriate':>13s}   95 % interval    unusable  errors")
    for method in found.settings.methods:
        rows = [row for row in found.rows if row.method == method]
        seen = judged(rows)
        share = rate(flags(seen), [row.prompt.id for row in seen])
        unusable, errors = (sum(row.label == label for row in rows) for label in ("unusable", "error"))
        typer.echo(f"{method:16s} {share.value:13.3f}   {share.low:.3f} to {share.high:.3f}  {unusable:8d}  {errors:6d}")
    say(f"scores: {out / 'scores.csv'}\nnext: safelatent report {out}")


def _command() -> str:
    return shlex.join(["safelatent", *sys.argv[1:]])


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """A polite kill ends a run as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
