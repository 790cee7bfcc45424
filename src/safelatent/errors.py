"""Every error that safelatent raises on purpose.

    SafelatentError ├── BadValueError (ValueError)       a setting, a concept or a prompt that makes
    no sense: value, rule, remedy ├── UnsupportedError                 a pipeline or model that
    cannot be guarded or loaded, and why └── GuardError (RuntimeError)        the guard would not
    have acted, or the model's numbers are not finite: no image
        └── NotGuardedError              ... since no step would be, or was, guided

Messages are one line: what was given, what is allowed, what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SafelatentError(Exception):
    """Base of all errors of this package."""


class BadValueError(SafelatentError, ValueError):
    """A value that makes no sense."""


class UnsupportedError(SafelatentError):
    """A pipeline or model that safelatent cannot act on."""


class GuardError(SafelatentError, RuntimeError):
    """The guard stopped a call; there is no image."""


class NotGuardedError(GuardError):
    """The image would have been unguarded, or guarded less than was asked for."""


def nearest(name: object, known: Iterable[str]) -> str:
    """`` (did you mean '...'?)`` for a misspelt, lengthened or shortened name, or nothing."""
    given, names = str(name).lower(), list(known)
    longer = [
        other for other in names if given and (other.startswith(given) or given.startswith(other))
    ]
    match = longer or get_close_matches(given, names, n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""
