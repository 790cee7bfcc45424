"""The folder ``comfyui`` of the repository, loaded by its path as ComfyUI does it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "comfyui"


def loaded(name: str) -> Iterator[ModuleType]:
    """The module of the nodes, in a package of that name, which is gone afterwards."""
    spec = spec_from_file_location(name, FOLDER / "__init__.py")
    package = module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    yield import_module(f"{name}.nodes")
    for part in [part for part in sys.modules if part.split(".")[0] == name]:
        del sys.modules[part]
