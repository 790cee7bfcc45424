"""A missing extra is one line with the pip command that installs it."""

import sys

import pytest

from safelatent.errors import UnsupportedError
from safelatent.optional import require


def test_what_is_installed_is_imported():
    import json.decoder

    assert require("json.decoder", extra="bench", purpose="the report") is json.decoder


def test_what_is_missing_names_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UnsupportedError, match=r'^the report needs matplotlib; run pip install "s'):
        require("matplotlib.figure", extra="bench", purpose="the report")
