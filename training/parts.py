"""What has been measured, kept part by part: a measurement can be stopped at any moment, and goes
on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safelatent.storage import write_whole

Result = dict[str, Any]


class Parts:
    """The parts in ``folder``, for the weights at hand. What can wait is not started after
    ``minutes``.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        self.folder = folder
        self._end = time.monotonic() + 60 * minutes

    def __call__(self, name: str, compute: Callable[[], Result]) -> Result:
        """The part of this name, computed unless it is there."""
        file = self._file(name)
        if not file.exists():
            write_whole(file, json.dumps(compute(), indent=1).encode())
        return json.loads(file.read_text())

    def due(self, name: str) -> bool:
        """Whether a part that can wait is to be had now: it is there, or there is time for it."""
        return self._file(name).exists() or time.monotonic() < self._end

    def _file(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '-')}.json"
