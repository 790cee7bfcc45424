"""Every n-th step, from one noise level to the next: ``2/5@0.7`` is every second step, and
every fifth from the noise level 0.7 on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from safelatent.errors import BadValueError
from safelatent.guidance.noise import ROUNDING, real_number, shown, whole_number

Band = tuple[float, int]  # from this noise level on, every n-th step


def at(bands: int | tuple[Band, ...], level: float) -> int:
    """Return the number that holds at a noise level; rounding delays no band."""
    if isinstance(bands, int):
        return bands
    return [k for start, k in bands if level <= start * (1 + ROUNDING)][-1]


def every(name: str, value: object) -> int | tuple[Band, ...]:
    """Return ``value`` if it is a number, or pairs of a noise level and a number.

    Raises:
        BadValueError: a number that is not whole and at least 1, or levels that do not fall from 1.
    """
    if not isinstance(value, list | tuple):
        return whole_number(name, value)
    pairs = cast("Sequence[object]", value)
    bands: list[Band] = []
    for pair in pairs:
        start, number = _pair(name, pair)
        level = real_number(start)
        limit = bands[-1][0] if bands else None
        if level is None or (level != 1 if limit is None else not 0 < level < limit):
            raise BadValueError(
                f"{name} has the noise level {shown(start)}; levels begin at 1 and fall, above 0"
            )
        bands.append((level, whole_number(name, number)))
    if not bands:
        raise BadValueError(
            f"{name} is {shown(pairs)}; give a number, or pairs of level and number"
        )
    return bands[0][1] if len(bands) == 1 else tuple(bands)


def _pair(name: str, value: object) -> tuple[object, object]:
    pair = cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()
    if len(pair) != 2:
        raise BadValueError(f"{name} has {shown(pair)}; it must be pairs (noise level, number)")
    return pair[0], pair[1]


def written(bands: int | tuple[Band, ...]) -> str:
    """Return the text that ``parsed_bands`` reads."""
    if isinstance(bands, int):
        return str(bands)
    return "/".join(str(k) if n == 0 else f"{k}@{level!r}" for n, (level, k) in enumerate(bands))


def parsed_bands(text: str, value: str) -> tuple[Band, ...]:
    """Return the bands of ``2/5@0.7``: every second step, and every fifth from level 0.7 on."""
    bands: list[Band] = []
    for n, part in enumerate(value.split("/")):
        number, _, level = part.partition("@")
        start = 1.0 if n == 0 and not level else parsed_number(text, level)
        count = parsed_number(text, number)
        bands.append((start, whole_number("the plan's number of steps", count)))
    return tuple(bands)


def parsed_number(text: str, number: str) -> float:
    """Return a number in the text of a plan.

    Raises:
        BadValueError: it is none.
    """
    try:
        return float(number)
    except ValueError:
        raise BadValueError(
            f"the plan is {shown(text)}, and {number!r} in it is no number; "
            "write it as in 'exact' or 'concept=2/5@0.7,uncond=2,until=0.6'"
        ) from None
