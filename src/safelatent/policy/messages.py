"""What msgspec says of a file that is not valid, in this package's words: value, rule, remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from safelatent.errors import nearest
from safelatent.guidance.noise import shown

# What msgspec says, and where in the file. Its sentences name neither the remedy nor what is near.
_AT = re.compile(r"(.*) - at `(key` in `)?\$\.?(.*)`", re.DOTALL)  # a name may have lines


def in_words(
    error: Exception,
    values: object,
    *,
    choices: Mapping[str, Any],
    keys: Any,
    fields: Callable[[str], Sequence[str]],
) -> str:
    """Return one line with the field, what is wrong with it, and what it may be.

    Args:
        error: of msgspec.
        values: of the file.
        choices: the ``Literal`` of each field that has one, by its name; a value of a table that is
            not among them has that of ``least``.
        keys: the ``Literal`` of the names in a table.
        fields: the fields of the table at a path; of the whole file for an empty one.
    """
    found = _AT.fullmatch(str(error))
    said, in_key, path = (found[1], bool(found[2]), found[3]) if found else (str(error), False, "")
    field = path.replace("[...]", "") or "the file"
    if path.endswith("[...]") and not in_key:  # msgspec does not say which
        field = f"a value of {field}"
    if said.startswith("Invalid enum value"):
        value = said.removeprefix("Invalid enum value ")  # as msgspec quotes it
        kinds = keys if in_key else choices.get(field.rpartition(".")[2], choices["least"])
        known = [str(one) for one in get_args(kinds)]
        near = nearest(value.strip("'\""), known)
        is_or_has = "has" if in_key else "is"
        return f"{field} {is_or_has} {value}{near}; it must be {_either(known)}"
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", said, re.DOTALL):
        known = fields(path)
        return (
            f"{field} has no field {unknown[1]!r}{nearest(unknown[1], known)}; its fields are"
            f" {', '.join(known)}"
        )
    if rule := re.fullmatch(r"Expected `(.*?)`(?:, got `(.*)`| (.*))", said):
        kind = _KINDS.get(rule[1].removesuffix(" | null"), rule[1])
        limits = f"{kind}{' ' + rule[3] if rule[3] else ''}"
        given = _at(values, path)
        if isinstance(given, str | int | float) and not isinstance(given, bool):
            return f"{field} is {shown(given)}; it must be {limits}"
        got = f"; it is {_KINDS.get(rule[2], rule[2])}" if rule[2] else ""
        return f"{field} must be {limits}{got}"
    return f"{field}: {said}" if path else said


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}


def _at(values: object, path: str) -> object:
    """Return the value at a path of names; None where it leads into a list, or nowhere."""
    for name in path.split("."):
        if not isinstance(values, dict):
            return None
        values = cast("Mapping[str, object]", values).get(name)
    return values


def _either(known: list[str]) -> str:
    return f"{', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else known[0]
