"""Names of a package that are imported when they are first used."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from safelatent import detectors, runs, study
from safelatent.lazy import lazy_names


def test_a_name_is_taken_from_its_module_at_first_use(monkeypatch):
    monkeypatch.delitem(sys.modules, "json.tool", raising=False)
    get = lazy_names("json", {"decoder": ("JSONDecoder",), "tool": ("main",)})
    assert get("JSONDecoder") is json.JSONDecoder
    assert "json.tool" not in sys.modules
    assert callable(get("main"))
    assert "json.tool" in sys.modules


def test_a_name_that_is_not_given_out_is_refused_as_python_does():
    get = lazy_names("json", {"decoder": ("JSONDecoder",)})
    with pytest.raises(AttributeError, match=r"^module 'json' has no attribute 'JSONDecodeError'$"):
        get("JSONDecodeError")


@pytest.mark.parametrize("package", [detectors, runs, study])
def test_no_module_hides_a_name(package):
    """Importing a module puts it in the place of a name that is spelt as it."""
    assert not {path.stem for path in Path(package.__file__).parent.glob("*.py")} & {
        *package.__all__
    }
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'x'"):
        _ = package.x
