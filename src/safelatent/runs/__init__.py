"""Many images: the plan of a run, its store, the worker that draws and judges, and the engines that
drive it.

    from safelatent.runs import read_run, run
    result = run("embedded-i2p", methods=("off", "strong"), images=2, limit=35, out="runs/quick")
    rows = read_run(result.folder).rows

Names are imported when they are first used: reading a run needs no torch.
"""

from typing import TYPE_CHECKING

from safelatent.lazy import lazy_names

if TYPE_CHECKING:
    from safelatent.runs.execute import RunResult, run
    from safelatent.runs.folder import RunError
    from safelatent.runs.read import Progress, ResultRow, Run, read_progress, read_run
    from safelatent.runs.settings import RunRequest, RunSettings

_HOMES = {
    "execute": ("RunResult", "run"),
    "folder": ("RunError",),
    "read": ("Progress", "ResultRow", "Run", "read_progress", "read_run"),
    "settings": ("RunRequest", "RunSettings"),
}

__all__ = [
    "Progress",
    "ResultRow",
    "Run",
    "RunError",
    "RunRequest",
    "RunResult",
    "RunSettings",
    "read_progress",
    "read_run",
    "run",
]

if not TYPE_CHECKING:  # to a type checker, a module with __getattr__ has every name
    __getattr__ = lazy_names(__name__, _HOMES)
