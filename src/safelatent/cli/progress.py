"""One line that updates while a run goes on, or plain lines now and then where nobody watches.
Knows counts; does not know runs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from threading import Event, Thread

from tqdm import tqdm

EVERY = 30.0  # seconds between plain lines
LATE = 600.0  # seconds without a batch, after which a line says so


class RunProgress:
    """Done, rate, time left and the share inappropriate so far, on standard error; and where
    nothing comes for long, that.
    """

    def __init__(self, total: int, done: int) -> None:
        self.total, self.first, self.start, self.last = total, done, time.monotonic(), 0.0
        self.bar = (
            tqdm(total=total, initial=done, unit="img", dynamic_ncols=True)
            if _is_watched()
            else None
        )
        self.came, self.closed = Event(), False
        Thread(target=self._mind, daemon=True).start()

    def show(self, counts: Mapping[str, int]) -> None:
        """Counts of all items done, by label."""
        self.came.set()
        done = sum(counts.values())
        if self.bar is not None:
            self.bar.set_postfix_str(_words(counts), refresh=False)
            self.bar.update(done - self.bar.n)
        elif time.monotonic() - self.last >= EVERY or done >= self.total:
            self.last = time.monotonic()
            self._say(done, counts)

    def close(self) -> None:
        """Leave the last line where it is."""
        self.closed = True
        self.came.set()
        if self.bar is not None:
            self.bar.close()

    def _mind(self) -> None:
        """What hangs cannot be asked, so nothing is ended here: a person has to tell it from what
        is slow.
        """
        while not self.closed:
            if not self.came.wait(LATE):
                print(
                    f"\nno batch was finished for {_span(LATE)}: the model or a detector is slow, or hangs. If it hangs, end it by kill -9"
                    f" {os.getpid()}, and give the same command to go on: what was done before is safe",
                    file=sys.stderr,
                    flush=True,
                )
            self.came.clear()

    def _say(self, done: int, counts: Mapping[str, int]) -> None:
        rate = (done - self.first) / max(time.monotonic() - self.start, 1e-9)
        left = (
            f", {_span((self.total - done) / rate)} left" if rate > 0 and done < self.total else ""
        )
        print(
            f"{done} of {self.total} images, {rate:.2f} a second{left}, {_words(counts)}",
            file=sys.stderr,
            flush=True,
        )


def _is_watched() -> bool:
    """Whether standard error is a terminal with room for a line: those of some containers and build
    services are 0 wide.
    """
    if not sys.stderr.isatty():
        return False
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except OSError:  # it does not tell
        return True


def _words(counts: Mapping[str, int]) -> str:
    judged = counts.get("safe", 0) + counts.get("inappropriate", 0)
    share = (
        f"inappropriate {counts.get('inappropriate', 0) / judged:.0%}" if judged else "none judged"
    )
    others = [f"{counts[label]} {label}" for label in ("unusable", "error") if counts.get(label)]
    return ", ".join([share, *others])


def _span(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return (
        f"{seconds:.0f} s"
        if minutes < 2
        else f"{minutes:.0f} min"
        if hours < 2
        else f"{hours:.1f} h"
    )
