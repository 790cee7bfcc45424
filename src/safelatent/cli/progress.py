"""What takes long, as a person sees it on standard error: a bar on a terminal, else plain lines now
and then.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from threading import Timer
from typing import TYPE_CHECKING, Any

from safelatent.cli.say import say

if TYPE_CHECKING:
    from tqdm import tqdm

SLOW = 2.0  # seconds after which something is shown of what nothing was shown of
EVERY = 30.0  # seconds between plain lines


class ProgressBar:
    """How far a part of a command is: a bar on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._last = time.monotonic()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int, what: str, more: str = "") -> None:
        """Show that ``done`` of ``total`` are done, and ``more`` about them."""
        if is_watched():
            if self._bar is None or self._bar.desc != what:
                from tqdm import tqdm

                self.__exit__()
                self._bar = tqdm(total=total, desc=what, dynamic_ncols=True, leave=False)
            self._bar.n = done
            self._bar.set_postfix_str(more)
        elif done == total or time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            say(", ".join(filter(None, [f"{done} of {total} {what}", more])))


@contextmanager
def slow(what: str) -> Iterator[None]:
    """Say that ``what`` goes on if it takes more than ``SLOW`` seconds."""
    timer = Timer(SLOW, say, [f"{what} ..."])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def step_lines() -> dict[str, Any]:
    """Return the settings of a pipeline's own progress bar with which it prints a plain line now
    and then.
    """
    return {
        "bar_format": "step {n} of {total}",
        "file": _Lines(),
        "delay": EVERY,
        "mininterval": EVERY,
        "miniters": 1,
        "leave": False,
    }


class _Lines(StringIO):
    """Says what a bar shows, and leaves out the moves by which it overwrites itself."""

    def write(self, text: str) -> int:
        if text.strip():
            say(text.strip())
        return len(text)


def is_watched() -> bool:
    """Return whether standard error is a terminal with room for a line: those of some containers
    and build services are 0 wide.
    """
    if not sys.stderr.isatty():
        return False
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except OSError:  # unknown
        return True
