"""What others make, taken as it comes, as long as it comes. Knows time and threads; does not know
who makes it, or what.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

from safelatent.runs.store import RunError

PATIENCE = 60.0  # minutes without a finished batch, after which a run ends
STOPPING = 5.0  # seconds that the source gets to stop, when a run ends early
Row = TypeVar("Row")


def within(patience: float, rows: Iterable[Row]) -> Generator[Row, None, None]:
    """The rows as they come, read in a thread, since what hangs cannot be asked to stop.

    Raises:
        RunError: none came for ``patience`` minutes.
    """
    coming: Queue[tuple[Row | None, BaseException | None]] = Queue(1)
    wanted = Event()
    wanted.set()

    def read() -> None:
        error: BaseException | None = None
        try:
            for row in rows:
                if not wanted.is_set():
                    return
                coming.put((row, None))
        except BaseException as caught:  # noqa: BLE001  # whatever it is, it is raised again below
            error = caught
        coming.put((None, error))

    reader = Thread(target=read, daemon=True)
    reader.start()
    try:
        while (row := _next(coming, patience)) is not None:
            yield row
    finally:
        wanted.clear()
        with suppress(Empty):
            coming.get_nowait()  # a reader that waits to put something there can end
        reader.join(STOPPING)


def _next(coming: Queue[tuple[Row | None, BaseException | None]], patience: float) -> Row | None:
    try:
        row, error = coming.get(timeout=60 * patience)
    except Empty:
        raise RunError(
            f"no worker has finished a batch for {patience:g} minutes; what was done before is safe: look at the workers, and give the"
            " same command to go on, with a larger --patience if they are only slow"
        ) from None
    if error is not None:
        raise error
    return row
