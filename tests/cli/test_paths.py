"""Every path of every command, left empty."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
import typer

from safelatent.cli import app, main
from safelatent.cli.paths import check_paths, path


def commands(typed: typer.Typer, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command by its words, with its function."""
    for one in typed.registered_commands:
        name = one.name or one.callback.__name__.replace("_", "-")
        yield " ".join((*above, name)), one.callback
    for group in typed.registered_groups:
        yield from commands(group.typer_instance, (*above, group.name))


def empty_paths() -> Iterator[list[str]]:
    """Every command with each of its paths left empty, and something for what it needs besides."""
    for name, function in commands(app):
        arguments: list[str] = []
        options: list[list[str]] = []
        paths: list[int | str] = []  # places of arguments, names of options
        for parameter in inspect.signature(function).parameters.values():
            kind, told = get_args(parameter.annotation)
            is_path = "Path" in str(kind)
            if type(told).__name__.startswith("Argument"):
                paths += [len(arguments)] if is_path else []
                arguments.append("x")
                continue
            # Typer keeps an option's own name where the default of an unannotated one is.
            own = told.default if str(told.default).startswith("--") else None
            option = own or f"--{parameter.name.replace('_', '-')}"
            paths += [option] if is_path else []
            if parameter.default is parameter.empty:
                options.append([option, "x"])
        needed = [word for option in options for word in option]
        for one in paths:
            if isinstance(one, int):
                yield [*name.split(), *arguments[:one], "", *arguments[one + 1 :], *needed]
            else:
                yield [*name.split(), *arguments, *needed, one, ""]


EMPTY = list(empty_paths())


def test_the_paths_of_every_command_are_among_them():
    known = set(words(typer.main.get_command(app)))
    assert known == {name for name, _ in commands(app)}
    without = {n for n in known if not any(e[: len(n.split())] == n.split() for e in EMPTY)}
    assert without == {"policy schema"}


def words(command: Any, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The words of every command, as the command line itself has them."""
    for name, one in getattr(command, "commands", {}).items():
        yield from words(one, (*above, name))
    if not hasattr(command, "commands"):
        yield " ".join(above)


@pytest.mark.parametrize("given", EMPTY, ids=" ".join)
def test_an_empty_path_is_refused_in_one_line_and_nothing_is_written(
    given, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(given) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "the path is empty; name a file or a folder" in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_every_form_of_a_path_is_parsed_and_nothing_else_is():
    typed = typer.Typer()

    @typed.command()
    def one(
        places: Annotated[list[Path] | None, typer.Option()] = None,
        name: Annotated[str | None, typer.Option()] = None,
    ) -> None:
        """A command."""

    check_paths(typed)
    parsers = {
        name: get_args(parameter.annotation)[1].parser
        for name, parameter in inspect.signature(one).parameters.items()
    }
    assert parsers == {"places": path, "name": None}


def test_a_path_with_a_name_is_that_path():
    assert path("a/b") == Path("a/b")
    assert path(".") == Path()
    with pytest.raises(typer.BadParameter, match="the path is empty"):
        path(" ")
