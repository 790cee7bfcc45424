from __future__ import annotations

import pytest

from safelatent.errors import BadValueError, GuardError, NotGuardedError, SafelatentError, UnsupportedError, nearest


def test_the_tree():
    assert issubclass(BadValueError, SafelatentError) and issubclass(BadValueError, ValueError)
    assert issubclass(NotGuardedError, GuardError) and issubclass(GuardError, SafelatentError) and issubclass(GuardError, RuntimeError)
    assert issubclass(UnsupportedError, SafelatentError)


@pytest.mark.parametrize(("given", "meant"), [("stong", "strong"), ("maximum", "max"), ("WEAK", "weak"), ("med", "medium")])
def test_nearest(given, meant):
    assert nearest(given, ["weak", "medium", "strong", "max"]) == f" (did you mean {meant!r}?)"


def test_nothing_is_near():
    assert nearest("", ["weak"]) == nearest("zzz", ["weak"]) == nearest(None, ["weak"]) == ""
