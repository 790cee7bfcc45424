"""The paths that commands are given: an empty one is refused, whatever the command."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_args

import typer

from safelatent.errors import BadValueError
from safelatent.storage import place


def path(text: str) -> Path:
    """Return the path of an argument.

    Raises:
        typer.BadParameter: it is empty.
    """
    try:
        return place(text)
    except BadValueError as error:
        raise typer.BadParameter(str(error)) from None


def check_paths(app: typer.Typer) -> None:
    """Let every command of ``app``, and of the groups below it, refuse an empty path: ``path``
    parses each argument and option that is a path.
    """
    for command in app.registered_commands:
        assert command.callback is not None
        for parameter in inspect.signature(command.callback, eval_str=True).parameters.values():
            kind, *told = get_args(parameter.annotation)  # of an Annotated
            if _is_path(kind):
                told[0].parser = path
            # Not as text: what is read again would be another object, without its parser.
            command.callback.__annotations__[parameter.name] = parameter.annotation
    for group in app.registered_groups:
        assert group.typer_instance is not None
        check_paths(group.typer_instance)


def _is_path(kind: Any) -> bool:
    return kind is Path or any(map(_is_path, get_args(kind)))
