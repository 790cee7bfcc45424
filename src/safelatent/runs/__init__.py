"""Many images: the plan of a run, its store, the worker that draws and judges, and the engines that
drive it.

    from safelatent.runs import read_run, run
    result = run("embedded-i2p", methods=("off", "strong"), images=2, limit=35, out="runs/quick")
    rows = read_run(result.folder).rows

Names are imported when they are first used: reading a run needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safelatent.runs.execute import RunResult, run
    from safelatent.runs.folder import RunError
    from safelatent.runs.read import Progress, Row, Run, read_progress, read_run
    from safelatent.runs.settings import RunRequest, RunSettings

# No module is named like a function that is exported here: importing it would put the module in the
# function's place.
_HOMES = {
    "execute": ("RunResult", "run"),
    "folder": ("RunError",),
    "read": ("Progress", "Row", "Run", "read_progress", "read_run"),
    "settings": ("RunRequest", "RunSettings"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Progress",
    "Row",
    "Run",
    "RunError",
    "RunRequest",
    "RunResult",
    "RunSettings",
    "read_progress",
    "read_run",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'safelatent.runs' has no attribute {name!r}")
    return getattr(import_module(f"safelatent.runs.{_HOME[name]}"), name)
