"""The memory of a process at its peak."""

from __future__ import annotations

import re
import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak() -> float:
    """Return the most memory that this program has held so far, in megabytes.

    ``getrusage`` counts what started the program too, as large as that was at its peak, so that a
    small program begun by a large one seems to need nothing; it is asked where Linux's own count
    is missing.
    """
    if _STATUS.exists():
        found = re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())
        if found:
            return int(found[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
