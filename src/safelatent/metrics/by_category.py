"""Any metric, once per category: a metric over a metric.

A row counts in each of its categories, as in I2P, so the categories overlap and their counts do not
add up to the whole.
"""

# numpy leaves parts of its interfaces untyped; what strict mode adds about them does not concern
# this code.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from safelatent.errors import BadValueError
from safelatent.metrics.checks import check_present, check_same_length
from safelatent.prompts.prompt import OVERALL

__all__ = ["OVERALL", "by_category"]

Column = Sequence[Any] | NDArray[Any]
Result = TypeVar("Result")


def by_category(
    values: Column | tuple[Column, ...],
    categories: Sequence[Collection[str]],
    metric: Callable[..., Result],
) -> dict[str, Result]:
    """Return ``metric`` of the rows of each category, by name, and of all rows as ``overall``,
    which comes last.

        by_category(verdicts, categories, lambda v: wilson(np.count_nonzero(v), len(v)))
        by_category((verdicts, prompts), categories, rate)
        by_category((first, second, prompts), categories, partial(paired_difference, seed=1))

    Args:
        values: one column (N,), or a tuple of columns that ``metric`` takes in this order. A row
            without a category counts in ``overall``.
        categories: categories of each row, (N,), each a tuple, list or set of names.
        metric: function of the columns.

    Raises:
        BadValueError: the columns differ in length, a value is missing or NaN, or the categories
            are not collections of names, or one is named ``overall``.
    """
    columns = values if isinstance(values, tuple) else (values,)
    for place, column in enumerate(columns):
        check_same_length(**{f"column {place} of values": column}, categories=categories)
        check_present(f"column {place} of values", column)
    # Lists, since the column of a table would be indexed by the table's labels.
    rows_of = [column if isinstance(column, np.ndarray) else list(column) for column in columns]
    groups = _rows_by_name(categories)
    return {
        name: metric(*(_take(column, rows) for column in rows_of)) for name, rows in groups.items()
    }


def _rows_by_name(categories: Sequence[Collection[str]]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, names in enumerate(categories):
        for name in _names(row, names):
            rows.setdefault(name, []).append(row)
    return {name: rows[name] for name in sorted(rows)} | {OVERALL: list(range(len(categories)))}


def _names(row: int, names: object) -> set[str]:
    if isinstance(names, str) or not isinstance(names, Collection):
        raise BadValueError(
            f"the categories of row {row} are {names!r}; give a tuple of names, for example"
            " ('violence', 'self-harm')"
        )
    for name in names:
        if not isinstance(name, str) or not name or name != name.strip() or name == OVERALL:
            raise BadValueError(
                f"row {row} has the category {name!r}; it must be a name without spaces around it,"
                f" and not {OVERALL!r}"
            )
    return set(names)


def _take(column: Column, rows: list[int]) -> Column:
    return column[rows] if isinstance(column, np.ndarray) else [column[row] for row in rows]
