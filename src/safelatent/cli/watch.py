"""A run as a person sees it: how far it is, what stops it, and how to resume it. On standard error,
one line that updates, or plain lines now and then if nobody watches.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from safelatent.cli.parameters import option_name
from safelatent.cli.progress import EVERY, is_watched
from safelatent.cli.say import quiet_libraries, say, show_log
from safelatent.errors import BadValueError
from safelatent.generation.methods import methods_text

if TYPE_CHECKING:
    from tqdm import tqdm

    from safelatent.prompts import PromptSet
    from safelatent.runs import Progress, RunResult

LATE = 600.0  # seconds without a batch, after which a line says so


def watch_run(prompts: str | PromptSet, out: Path, **settings: Any) -> RunResult:
    """Run ``safelatent.runs.run`` with its progress on standard error.

    An interrupt stops it cleanly and prints the command that resumes it; so does SIGTERM.

    Raises:
        KeyboardInterrupt: it was interrupted.
        SafelatentError: as ``run``.
    """
    from safelatent.runs import RunRequest

    RunRequest(prompts=prompts, out=out, **settings)  # refuses bad values before heavy imports
    from safelatent.runs import run

    with _interrupts():
        quiet_libraries()
        show_log()
        shown = RunProgress()
        try:
            return run(prompts, out=out, progress=shown.show, **settings)
        except KeyboardInterrupt:
            say(f"\nstopped: {_saved(out)} images saved; resume with:\n  {_command()}")
            raise
        except BadValueError as error:
            if " holds a run of other settings " not in str(error):
                raise
            raise BadValueError(f"{error}{_resuming(out, str(error))}") from None
        finally:
            shown.close()


class RunProgress:
    """Images done, rate, time left and the share inappropriate so far; and a line if no batch is
    finished for long.
    """

    def __init__(self) -> None:
        self.total, self.first, self.start, self.last = 0, 0, time.monotonic(), 0.0
        self.bar: tqdm[Any] | None = None
        self.came, self.closed = Event(), False

    def show(self, state: Progress) -> None:
        """Show how far the run is; the first time it begins or resumes."""
        self.came.set()
        if not self.total:
            self._begin(state)
        elif self.bar is not None:
            self.bar.set_postfix_str(_words(state.counts), refresh=False)
            self.bar.update(state.done - self.bar.n)
        elif time.monotonic() - self.last >= EVERY or state.done >= self.total:
            self.last = time.monotonic()
            self._say(state)

    def close(self) -> None:
        """Leave the last line where it is."""
        self.closed = True
        self.came.set()
        if self.bar is not None:
            self.bar.close()

    def _begin(self, state: Progress) -> None:
        if state.done:
            say(f"resuming: {state.done} of {state.planned} images were saved before")
        self.total, self.first, self.start = state.planned, state.done, time.monotonic()
        if is_watched():
            from tqdm import tqdm

            self.bar = tqdm(total=self.total, initial=self.first, unit="img", dynamic_ncols=True)
        Thread(target=self._mind, daemon=True).start()

    def _mind(self) -> None:
        """What hangs cannot be told from what is slow, so nothing is stopped here."""
        while not self.closed:
            if not self.came.wait(LATE):
                print(
                    f"\nno batch was finished for {_span(LATE)}: the model or a detector is slow,"
                    f" or hangs. If it hangs, stop it with kill -9 {os.getpid()} and run the same"
                    " command again to resume: completed images are saved",
                    file=sys.stderr,
                    flush=True,
                )
            self.came.clear()

    def _say(self, state: Progress) -> None:
        rate = (state.done - self.first) / max(time.monotonic() - self.start, 1e-9)
        left = ""
        if rate > 0 and state.done < self.total:
            left = f", {_span((self.total - state.done) / rate)} left"
        say(
            f"{state.done} of {self.total} images, {rate:.2f} per second{left},"
            f" {_words(state.counts)}"
        )


def _saved(out: Path) -> str:
    from safelatent.runs import read_progress

    try:
        state = read_progress(out)
    except BadValueError:  # stopped before it was begun
        return "0"
    return f"{state.done} of {state.planned}"


def _resuming(out: Path, differences: str) -> str:
    """The command with the run's own settings in the place of those that differ, of which the last
    one counts; nothing if options cannot say all of them.
    """
    from safelatent.runs.folder import read_only, stored_plan

    with closing(read_only(out)) as database:
        plan = stored_plan(out, database)
    assert plan is not None  # it has settings
    own = {
        name: methods_text(value) if name == "methods" else value
        for name, value in plan.settings.shared().items()
        if f"{name} is " in differences or f"{name} left out" in differences
    }
    beyond = any(f"prompts {what}" in differences for what in ("left out", "changed"))
    if not own or None in own.values() or beyond:
        return ""
    return f"; resume with: {_command(*(f'{option_name(n)}={own[n]}' for n in own))}"


def _command(*more: str) -> str:
    return shlex.join(["safelatent", *sys.argv[1:], *more])


@contextmanager
def _interrupts() -> Iterator[None]:
    """A polite kill stops a run as Ctrl-C does, also if a shell made the process ignore Ctrl-C, as
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


def _words(counts: Mapping[str, int]) -> str:
    judged = counts.get("safe", 0) + counts.get("inappropriate", 0)
    share = (
        f"inappropriate {counts.get('inappropriate', 0) / judged:.0%}" if judged else "none judged"
    )
    others = [f"{counts[label]} {label}" for label in ("unusable", "error") if counts.get(label)]
    return ", ".join([share, *others])


def _span(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"
