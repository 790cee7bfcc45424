"""What ``bench run`` does once its arguments are sound: load, say what will be done, do it, say
what came out.
"""

from __future__ import annotations

import shlex
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import typer

from safelatent.cli.progress import RunProgress
from safelatent.cli.quiet import quiet_libraries
from safelatent.cli.say import say
from safelatent.detectors import Protocol
from safelatent.errors import BadValueError, SafelatentError
from safelatent.evaluation.entry import probability
from safelatent.evaluation.numbers import number
from safelatent.pipelines.classic.text import cut_prompts
from safelatent.prompts import PromptSet
from safelatent.runs.bench import Engine, run
from safelatent.runs.plan import Plan
from safelatent.runs.prepare import Asked, load_parts, settings_of
from safelatent.runs.read import each_label
from safelatent.runs.scores import FILE
from safelatent.runs.settings import RunSettings
from safelatent.runs.store import KEPT, RunError
from safelatent.text import one_line


def execute(
    asked: Asked,
    prompts: PromptSet,
    out: Path,
    *,
    engine: str = "local",
    address: str | None = None,
    patience: float | None = None,
) -> None:
    """One run, from its start or from where it was stopped, to its table."""
    with _interrupts():
        quiet_libraries()
        say(f"loading {asked.model} and its detectors ...")
        pipe, protocol = load_parts(asked)
        settings = settings_of(asked, prompts, pipe, protocol)
        _announce(settings, prompts, pipe)
        do = (
            _ray(asked, settings, address, patience)
            if engine == "ray"
            else _local(settings, pipe, protocol)
        )
        total = len(Plan(settings=settings, prompts=prompts))
        try:
            with closing(run(out, settings, prompts, do)) as going:
                _watch(going, total)
        except KeyboardInterrupt:
            say(
                f"\nstopped: {_done(out)} of {total} images are done and safe; go on with\n  {_command()}"
            )
            raise
        except SafelatentError:
            raise
        except (
            RuntimeError,
            ValueError,
        ) as error:  # out of memory, or what a library makes of a model
            raise RunError(f"the run ended: {one_line(error)}; {KEPT}") from error
    _summary(out, settings.methods)


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


def _done(out: Path) -> int:
    try:
        return sum(1 for _ in each_label(out))
    except BadValueError:  # stopped before it was begun
        return 0


def _local(settings: RunSettings, pipe: Any, protocol: Protocol) -> Engine:
    from safelatent.runs.engines.local import run_local
    from safelatent.runs.maker import Maker

    return partial(run_local, Maker(pipe, protocol, settings))


def _ray(
    asked: Asked, settings: RunSettings, address: str | None, patience: float | None
) -> Engine:
    from safelatent.runs.engines.ray import model_worker, run_ray
    from safelatent.runs.engines.timeout import PATIENCE

    return partial(
        run_ray,
        partial(model_worker, asked, settings),
        address,
        settings.device != "cpu",
        patience or PATIENCE,
    )


def _announce(settings: RunSettings, prompts: PromptSet, pipe: Any) -> None:
    skipped = "; ".join(f"{reason}: {count}" for reason, count in prompts.skipped.items()) or "none"
    say(f"{prompts.name}: {prompts.rows} rows, {len(prompts)} prompts; skipped: {skipped}")
    cut, limit = cut_prompts(pipe, (prompt.text for prompt in prompts))
    if cut:
        say(
            f"note: {len(cut)} prompts have more than the {limit} tokens that the model reads; what comes after is not drawn"
        )
    many = f"{len(prompts)} prompts x {settings.images} images x {len(settings.methods)} methods"
    say(
        f"{many}, {settings.steps} steps, protocol {settings.protocol} ({settings.protocol_hash[:12]})"
    )


def _summary(out: Path, methods: Sequence[str]) -> None:
    """The share inappropriate of every method, and what can be done next."""
    labels, texts = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for method, text, label in each_label(out):
        labels[method].append(label)
        texts[method].append(text)
    typer.echo(f"{'method':16s} {'inappropriate':>13s}   95 % interval    unusable  errors")
    for method in methods:
        share, count = probability(labels[method], texts[method]), labels[method].count
        interval = f"{share.low:.3f} to {share.high:.3f}"
        typer.echo(
            f"{method:16s} {number(share.value, 3):>13s}   {interval}  {count('unusable'):8d}  {count('error'):6d}"
        )
    if any("error" in found for found in labels.values()):
        say(
            f"errors are not safe, and in no share: the reasons stand in the column reason of {out / FILE}, and in the report"
        )
    say(f"scores: {out / FILE}\nnext: safelatent report {shlex.quote(str(out))}")


def _command() -> str:
    return shlex.join(["safelatent", *sys.argv[1:]])


@contextmanager
def _interrupts() -> Iterator[None]:
    """A polite kill ends a run as Ctrl-C does, also where a shell has the process ignore Ctrl-C, as
    it does in the background.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
