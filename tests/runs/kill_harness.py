"""Kills a run again and again at a random line of the code that saves it, then lets it end. Prints
what is left, as JSON.

The run has the engine's threads: one batch is drawn while the one before is saved. What is drawn is
logged, so that what is lost is known.

Run by test_execute.py in another process: it forks, which a test process with threads should not
do.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import sqlite3
import sys
import threading
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from PIL import Image

from safelatent import BadValueError, storage
from safelatent.runs import folder as run_folder
from safelatent.runs import read_progress, store
from safelatent.runs.engines.local import run_local
from safelatent.runs.execute import draw
from safelatent.runs.folder import image_file
from tests.runs import dummy

WATCHED = {store.__file__, run_folder.__file__, storage.__file__}
COMMANDS = ((8, 2), (12, 3))  # prompts, and images of each: the second makes the run grow
LOG = "drawn.log"


class Logged(dummy.Worker):
    """Writes down the first key of every batch that it has drawn, at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = os.open(folder / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def denoise(self, encoded):
        os.write(self.log, f"{encoded.items[0].key}\n".encode())
        return encoded


def kill_after(lines: int) -> None:
    """SIGKILL at the ``lines``-th line that runs in the files that write."""
    left = lines

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return count

    sys.settrace(count)
    threading.settrace(count)


def go(folder: Path, lines: int | None) -> int:
    """One process that works on the run until it ends or is killed; its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        if lines is not None:
            kill_after(lines)
        for count, images in COMMANDS:
            prompts = dummy.prompt_set(count)
            settings = dummy.settings(prompts, images=images)
            if planned(folder) > count * images * len(settings.methods):
                continue  # it has grown already
            for _ in draw(folder, settings, prompts, partial(run_local, Logged(folder))):
                pass
        os._exit(0)
    except BaseException as error:  # noqa: BLE001  # a child must not run its parent's code
        print(repr(error), file=sys.stderr)
        os._exit(1)


def planned(folder: Path) -> int:
    """Images of the whole run; 0 before it is begun."""
    try:
        return read_progress(folder).planned
    except BadValueError:
        return 0


def corrupt(folder: Path) -> int:
    """Rows whose image is not exactly what its item makes."""
    database = sqlite3.connect(folder / "run.sqlite")
    keys = [key for (key,) in database.execute("SELECT key FROM items WHERE has_image")]
    database.close()
    wrong = 0
    for key in keys:
        expected = np.random.default_rng(int(key[:15], 16)).integers(
            0, 256, (8, 8, 3), dtype=np.uint8
        )
        found = np.asarray(Image.open(io.BytesIO(image_file(folder, key).read_bytes())))
        wrong += not np.array_equal(found, expected)
    return wrong


def lost(folder: Path) -> int:
    """Batches that were drawn and not kept. Forgets them, since they will be drawn again."""
    drawn = set((folder / LOG).read_text().split()) if (folder / LOG).exists() else set()
    database = sqlite3.connect(folder / "run.sqlite")
    kept = {key for (key,) in database.execute("SELECT key FROM items")}
    database.close()
    (folder / LOG).write_text("")
    return len(drawn - kept)


def main() -> None:
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    killed = failed = corrupted = most = 0
    runs = [folder / "0"]
    while killed < kills:
        status = go(runs[-1], rng.randint(1, 800))
        if os.WIFSIGNALED(status):
            killed += 1
        else:
            failed += os.WEXITSTATUS(status) != 0
            runs.append(
                folder / str(len(runs))
            )  # it ended before it was killed: the next kills hit a new run
        if (runs[-1] / "run.sqlite").exists() and _begun(runs[-1]):
            corrupted += corrupt(runs[-1])
            most = max(most, lost(runs[-1]))
    ends = [go(one, None) for one in runs]
    print(
        json.dumps(
            {
                "killed": killed,
                "failed": failed,
                "corrupt": corrupted,
                "lost": most,
                "ends": ends,
                "runs": [str(one) for one in runs],
            }
        )
    )


def _begun(folder: Path) -> bool:
    database = sqlite3.connect(folder / "run.sqlite")
    found = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'items'").fetchone()
    database.close()
    return bool(found)


if __name__ == "__main__":
    main()
