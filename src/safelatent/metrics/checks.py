"""What metrics may compute with: columns of finite numbers, whole prompts, settings in range.

A missing value is refused and never dropped: a NaN that is left out of a rate counts as safe.
"""

# numpy leaves parts of its interfaces untyped; what strict mode adds about them does not concern
# this code.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Sized
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safelatent.errors import BadValueError

Floats = NDArray[np.float64]
Limits = tuple[float, float]

_NUMBERS = (int, float, np.bool_, np.integer, np.floating)
_LARGEST = 1e100  # larger numbers overflow when they are summed and squared
_LARGEST_FEATURE = 1e20  # larger ones overflow in the cubic kernel


def column(name: str, values: ArrayLike, limits: Limits = (-math.inf, math.inf)) -> Floats:
    """Return ``values`` as floats (N,), all of them finite and within ``limits``.

    Raises:
        BadValueError: it is not one row of booleans or numbers, values are missing, NaN or infinite
            (how many, and where), or one is beyond ``limits``.
    """
    floats = _floats(name, values)
    beyond = np.flatnonzero((floats < limits[0]) | (floats > limits[1]))
    if len(beyond):
        raise BadValueError(
            f"{name} has {floats[beyond[0]]:g} in row {beyond[0]}; every value must lie from"
            f" {limits[0]:g} to {limits[1]:g}, its limits"
        )
    return floats


def features(name: str, values: ArrayLike, *, least: int = 2) -> Floats:
    """Return ``values`` as floats (N, D), one row per image and at least ``least`` rows.

    Raises:
        BadValueError: the shape is another, there are fewer rows, or rows hold NaN, infinity or
            numbers beyond 1e20 (how many, and where).
    """
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        raise BadValueError(f"{name} has rows of different lengths; give (N, D)") from None
    if array.ndim != 2 or array.dtype.kind not in "iuf" or len(array) < least or not array.size:
        raise BadValueError(
            f"{name} has the shape {array.shape} and the type {array.dtype}; give numbers (N, D),"
            f" one row per image and at least {least}"
        )
    rows = array.astype(np.float64)
    missing = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else False
    bad = np.flatnonzero((missing | ~(np.abs(rows) <= _LARGEST_FEATURE)).any(axis=1))
    if len(bad):
        raise BadValueError(
            f"{name} has missing values, NaN, infinity or numbers beyond {_LARGEST_FEATURE:g} in"
            f" {len(bad)} of {len(rows)} rows, first in row {bad[0]}; compute them again, or leave"
            " out these images and say how many"
        )
    return rows


def feature_pair(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    """Return two sets of features (N, D) and (M, D) as ``features`` does.

    Raises:
        BadValueError: as ``features``, or the widths differ.
    """
    one, other = features("the first set", a), features("the second set", b)
    check_same_width(one.shape[1], other.shape[1])
    return one, other


def unit_rows(name: str, rows: Floats) -> Floats:
    """Return ``rows`` (N, D), each scaled to length 1.

    Raises:
        BadValueError: a row is 0 and has no direction.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    zero = np.flatnonzero(lengths == 0)
    if len(zero):
        raise BadValueError(
            f"{name} has 0 in every place of row {zero[0]} ({len(zero)} such rows of {len(rows)});"
            " an embedding must have a direction, so compute it again"
        )
    return rows / lengths


def check_same_width(a: int, b: int) -> None:
    """Refuse features of different widths.

    Raises:
        BadValueError: the widths differ.
    """
    if a != b:
        raise BadValueError(
            f"the features have {a} and {b} values per image; compute both with one model"
        )


def check_same_length(**columns: Sequence[Any] | NDArray[Any]) -> None:
    """Refuse columns that do not belong to the same rows.

    Raises:
        BadValueError: the columns differ in length, or one of them is not a column.
    """
    for name, rows in columns.items():
        sized = isinstance(rows, Sized)  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
        if isinstance(rows, str | bytes) or not sized or getattr(rows, "ndim", 1) == 0:
            raise BadValueError(
                f"{name} is {rows!r}; it must be a list or an array with one value per row"
            )
    lengths = {name: len(rows) for name, rows in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise BadValueError(
            f"the columns differ in their number of rows ({listed}); give each one value per row"
        )


def check_limits(limits: Limits) -> None:
    """Refuse what is not the least and the greatest value of a measure.

    Raises:
        BadValueError: a limit is NaN, or they are not in order.
    """
    if not limits[0] < limits[1]:
        raise BadValueError(
            f"limits are {limits!r}; give the least and the greatest possible value, in this order"
        )


def check_present(name: str, items: Iterable[object]) -> None:
    """Refuse missing items.

    Raises:
        BadValueError: some of ``items`` are None or NaN (how many, and where).
    """
    _refuse_rows(
        name, [item is None or (isinstance(item, Real) and item != item) for item in items]
    )


def whole(name: str, value: object, least: int = 0) -> int:
    """Return ``value`` as a whole number of at least ``least``.

    Raises:
        BadValueError: it is anything else; booleans are not numbers.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, Integral)
        or not least <= int(value) < 2**63
    ):
        raise BadValueError(
            f"{name} is {value!r}; it must be a whole number from {least} to 2^63 - 1"
        )
    return int(value)


def _floats(name: str, values: ArrayLike) -> Floats:
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        raise BadValueError(
            f"{name} cannot be read as one column of values; give one boolean or number per row"
        ) from None
    if array.ndim != 1:
        raise BadValueError(
            f"{name} has the shape {array.shape}; it must be (N,), one boolean or number per row"
        )
    if array.dtype == object:
        _refuse_rows(
            name, [not (isinstance(item, _NUMBERS) and abs(item) <= _LARGEST) for item in array]
        )
    elif array.dtype.kind not in "biuf":
        raise BadValueError(f"{name} is of type {array.dtype}; give one boolean or number per row")
    if isinstance(values, np.ma.MaskedArray):
        _refuse_rows(name, np.ma.getmaskarray(values))
    floats = array.astype(np.float64)
    _refuse_rows(name, ~(np.abs(floats) <= _LARGEST))
    return floats


def _refuse_rows(name: str, bad: Sequence[bool] | NDArray[np.bool_]) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        raise BadValueError(
            f"{name} has {len(rows)} of {len(bad)} rows missing, NaN, infinite or no number, first"
            f" in row {rows[0]}; a missing value never counts as safe, so score those rows again or"
            " leave them out yourself"
        )
