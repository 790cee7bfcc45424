"""The nodes over a stand-in of ComfyUI."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest

from tests.comfyui import comfy_stand_in as stand_in
from tests.comfyui.comfy_loading import loaded


@pytest.fixture(scope="module")
def nodes() -> Iterator[ModuleType]:
    """The module of the nodes."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in stand_in.modules().items():
            patch.setitem(sys.modules, name, module)
        yield from loaded("comfyui_over_a_stand_in")


@pytest.fixture(scope="module")
def part(nodes):
    """Another module of the folder, by name."""
    return lambda name: import_module(f"{nodes.__package__}.{name}")
