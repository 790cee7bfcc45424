from __future__ import annotations

import pytest

from safelatent.errors import (
    BadValueError,
    GuardError,
    NotGuardedError,
    SafelatentError,
    UnsupportedError,
    nearest,
)


def test_the_tree():
    assert BadValueError.__mro__[1:3] == (SafelatentError, ValueError)
    assert NotGuardedError.__mro__[1:4] == (GuardError, SafelatentError, RuntimeError)
    assert UnsupportedError.__mro__[1] is SafelatentError


@pytest.mark.parametrize(
    ("given", "meant"),
    [("stong", "strong"), ("maximum", "max"), ("WEAK", "weak"), ("med", "medium")],
)
def test_nearest(given, meant):
    assert nearest(given, ["weak", "medium", "strong", "max"]) == f" (did you mean {meant!r}?)"


def test_nothing_is_near():
    assert nearest("", ["weak"]) == nearest("zzz", ["weak"]) == nearest(None, ["weak"]) == ""
