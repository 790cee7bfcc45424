"""The package loads nothing heavy by itself, and no module hides a public name."""

from __future__ import annotations

from pathlib import Path

import pytest

from safelatent import provenance


def test_every_public_name_is_there():
    homes = provenance._HOMES.values()
    assert sorted(name for names in homes for name in names) == provenance.__all__
    for name in provenance.__all__:
        assert getattr(provenance, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'verified'"):
        _ = provenance.verified


def test_no_module_has_the_name_of_a_public_name():
    modules = {file.stem for file in Path(provenance.__file__).parent.glob("*.py")}
    assert not modules & set(provenance.__all__)
