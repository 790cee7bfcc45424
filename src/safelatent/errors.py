"""Every error that safelatent raises on purpose, and how it looks.

    SafelatentError
    ├── BadValueError (ValueError)        a setting, a concept or a prompt breaks a rule
    │   ├── RowError                      ... in one row of a table (prompts.rows)
    │   └── UnusableError                 ... no image may be made of a prompt (prompts.prompt)
    ├── UnsupportedError                  a pipeline, or a use of it, that cannot be guarded
    ├── GuardError (RuntimeError)         the guard stopped a call; no image is returned
    │   ├── NotGuardedError               ... because no step would be, or was, guided
    │   └── PolicyError                   ... because it breaks a policy (policy.decision)
    ├── RunError                          a run's folder cannot be used (runs.folder)
    └── StudyError                        a study's folder or database cannot be used (study.folder)

A message is one line: the value that was given, the rule that it breaks, the remedy. Arguments
that a function does not have raise ``TypeError``, as everywhere in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_BEGINNING = 3  # letters that a beginning has at least to say which name is meant
_CLOSE = 0.65  # similarity of difflib, from 0 to 1


class SafelatentError(Exception):
    """Base of all errors of this package."""


class BadValueError(SafelatentError, ValueError):
    """A value breaks a rule."""


class UnsupportedError(SafelatentError):
    """A pipeline, a model or a use of them that safelatent cannot guard or load."""


class GuardError(SafelatentError, RuntimeError):
    """The guard stopped a call; no image is returned."""


class NotGuardedError(GuardError):
    """The image would have been unguarded, or guarded less than was asked for."""


def nearest(name: object, known: Iterable[str], *, ending: str = "") -> str:
    """Return `` (did you mean '...'?)`` for a misspelt or shortened name, or nothing.

    A hint that leads astray is worse than none: a beginning of several names, of which none is a
    beginning of the others, gives none.

    Args:
        ending: what most names end in, and what therefore makes no two of them alike.
    """

    def stem(text: str) -> str:
        return text.lower().removesuffix(ending.lower())

    given, names = stem(str(name)), {stem(other): other for other in known}
    names.pop("", None)
    longer = sorted((other for other in names if other.startswith(given)), key=len)
    if len(given) >= _BEGINNING and longer:
        alike = all(other.startswith(longer[0]) for other in longer)
        return f" (did you mean {names[longer[0]]!r}?)" if alike else ""
    shorter = [other for other in names if len(other) >= _BEGINNING and given.startswith(other)]
    match = sorted(shorter, key=len)[-1:] or get_close_matches(given, names, n=1, cutoff=_CLOSE)
    return f" (did you mean {names[match[0]]!r}?)" if match else ""


def brief(function: Callable[P, R]) -> Callable[P, R]:
    """Shorten what a notebook shows of our own errors: the cause last, and of the frames the first
    and the last of this package.

    A refusal in the middle of a call passes some twenty frames of diffusers and torch and half a
    dozen of ours on its way out, and a failed load brings the error that caused it. The message
    says all of that; the original error stays in ``__context__``. Other errors pass as they are.
    """

    @wraps(function)
    def briefly(*args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True  # in a notebook: this frame says nothing
        try:
            return function(*args, **kwargs)
        except SafelatentError as error:
            raise error.with_traceback(_own_frames(error.__traceback__)) from None

    return briefly


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback's first and last frame of this package."""
    kept: list[TracebackType] = []
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] == __package__ and trace.tb_frame.f_code.co_name != "briefly":
            kept.append(trace)
        trace = trace.tb_next
    own = None
    for one in reversed([*kept[:1], *kept[1:][-1:]]):
        own = TracebackType(own, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return own
