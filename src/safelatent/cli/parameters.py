"""What every command is given, in one place: an empty path and a number that is none are refused,
and messages call settings by the names of their options.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import typer

from safelatent.errors import BadValueError
from safelatent.storage import place
from safelatent.text import shortened

# What settings say in words that are not those of an option, by the option.
_WORDS = {
    "--plan": ("the plan's number of steps", "the number of steps in --plan"),
    "--warmup-noise-level": ("a NoiseLevel", "use --warmup-noise-level"),
}


class NotANumberError(typer.BadParameter):
    """A number is none; the message names the option itself."""

    def format_message(self) -> str:
        return self.message


def path(text: str) -> Path:
    """Return the path of an argument.

    Raises:
        typer.BadParameter: it is empty.
    """
    try:
        return place(text)
    except BadValueError as error:
        raise typer.BadParameter(str(error)) from None


def number(name: str, kind: type[int] | type[float]) -> Callable[[Any], int | float]:
    """Return what parses the number of the option ``name``; it raises a ``NotANumberError``."""
    rule = "a whole number" if kind is int else "a number"

    def parsed(given: Any) -> int | float:
        try:
            return kind(given)
        except ValueError:
            said = shortened(repr(given), 60)
            raise NotANumberError(f"{name} is {said}; it must be {rule}") from None

    return parsed


def option_name(name: str) -> str:
    """Return a parameter's name as it is on the command line."""
    return f"--{name.replace('_', '-')}"


@contextmanager
def as_options(options: Mapping[str, str]) -> Iterator[None]:
    """Name settings in an error as the command line does: "batch_size is 0" is "--batch-size is 0".

    Args:
        options: their names by those of the settings.
    """
    try:
        yield
    except BadValueError as error:
        said, begin = str(error), str(error).partition(" is ")[0]
        option = options.get(begin.removeprefix("the ").replace(" ", "_"))
        if option is not None:
            said = said.replace(begin, option, 1)
        for one in _WORDS.keys() & options.values():
            said = said.replace(*_WORDS[one], 1)
        error.args = (said, *error.args[1:])
        raise


def check_parameters(app: typer.Typer) -> None:
    """Let every command of ``app``, and of the groups below it, parse its paths by ``path`` and its
    numbers by ``number``, and name its options in errors.
    """
    for command in app.registered_commands:
        assert command.callback is not None
        options: dict[str, str] = {}
        for parameter in inspect.signature(command.callback, eval_str=True).parameters.values():
            kind, *told = get_args(parameter.annotation)  # of an Annotated
            if not type(told[0]).__name__.startswith("Argument"):
                options[parameter.name] = option_name(parameter.name)
            for one in (int, float):
                if _is_of(kind, one):
                    told[0].parser = number(option_name(parameter.name), one)
            if _is_of(kind, Path):
                told[0].parser = path
            # Not as text: what is read again would be another object, without its parser.
            command.callback.__annotations__[parameter.name] = parameter.annotation
        command.callback = _named(command.callback, options)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        check_parameters(group.typer_instance)


def _named(function: Callable[..., Any], options: Mapping[str, str]) -> Callable[..., Any]:
    @wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:
        with as_options(options):
            return function(*args, **kwargs)

    return command


def _is_of(kind: Any, one: type) -> bool:
    return kind is one or any(_is_of(part, one) for part in get_args(kind))
