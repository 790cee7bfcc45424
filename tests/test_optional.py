"""A missing extra is one line with the pip command that installs it."""

import sys

import pytest

from safelatent.errors import UnsupportedError
from safelatent.optional import require


def test_what_is_installed_is_imported():
    import json.decoder

    assert require("json.decoder", extra="bench", purpose="the report") is json.decoder


def test_what_is_missing_names_the_pip_line(monkeypatch):
    for name in ("pyarrow", "pyarrow.parquet"):  # another test may have imported it
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnsupportedError, match=r'^parquet needs pyarrow; run pip install "s'):
        require("pyarrow.parquet", extra="bench", purpose="parquet")
