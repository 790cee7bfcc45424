"""What every command is given: every path left empty, every number that is none, and the names of
options in messages.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
import typer

from safelatent.cli import app, main
from safelatent.cli.parameters import as_options, check_parameters, number, option_name, path
from safelatent.errors import BadValueError
from safelatent.prompts import UnusableError


def commands(typed: typer.Typer, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command by its words, with its function."""
    for one in typed.registered_commands:
        name = one.name or one.callback.__name__.replace("_", "-")
        yield " ".join((*above, name)), one.callback
    for group in typed.registered_groups:
        yield from commands(group.typer_instance, (*above, group.name))


def numbers() -> Iterator[tuple[list[str], str, str]]:
    """Every command with each of its numbers as a word, the option, and what it must be."""
    for name, function in commands(app):
        parameters = inspect.signature(function).parameters.values()
        kinds = {one.name: get_args(one.annotation) for one in parameters}
        needed = [
            "x" if type(kinds[one.name][1]).__name__.startswith("Argument") else f"--{one.name}=x"
            for one in parameters
            if one.default is one.empty
        ]
        for option, (kind, *_) in kinds.items():
            rule = "a whole number" if "int" in str(kind) else "a number"
            if "int" in str(kind) or "float" in str(kind):
                flag = option_name(option)
                yield [*name.split(), *needed, flag, "x"], flag, rule


NUMBERS = list(numbers())


@pytest.mark.parametrize(("given", "option", "rule"), NUMBERS, ids=str)
def test_what_is_no_number_is_refused_by_the_name_of_the_option(given, option, rule, capsys):
    assert main(given) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"safelatent: {option} is 'x'; it must be {rule}; see safelatent ")
    assert said.count("\n") == 1


def test_the_numbers_of_the_commands_are_among_them():
    options = {option for _, option, _ in NUMBERS}
    assert {"--steps", "--guidance-scale", "--timeout", "--port", "--most-refused"} <= options


def test_numbers_and_defaults_are_parsed():
    assert number("--steps", int)("7") == 7
    assert number("--scale", float)("1e3") == 1000.0
    assert number("--scale", float)(2.5) == 2.5
    with pytest.raises(typer.BadParameter, match=r"--steps is '9{30}.*…; it must be"):
        number("--steps", int)("9" * 5000)


WRONG = {
    "a setting": ("batch_size is 0; it must", "--batch-size is 0; it must"),
    "in words": ("guidance scale is 0; it must", "--guidance-scale is 0; it must"),
    "with an article": ("the guidance scale is 0", "--guidance-scale is 0"),
    "another's name": ("prompts is 0", "--limit is 0"),
    "a plan": ("the plan's number of steps is 0.0", "the number of steps in --plan is 0.0"),
    "a class": ("warmup is -1; or a NoiseLevel", "--warmup is -1; or use --warmup-noise-level"),
    "no setting": ("unknown method 'is '", "unknown method 'is '"),
    "an option": ("--images is 0", "--images is 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_messages_name_the_options(case):
    message, said = WRONG[case]
    names = ("batch_size", "guidance_scale", "plan", "warmup", "warmup_noise_level", "images")
    options = {name: option_name(name) for name in names} | {"prompts": "--limit"}
    with pytest.raises(BadValueError) as caught, as_options(options):
        raise BadValueError(message)
    assert str(caught.value) == said


def test_the_words_of_another_command_stay_and_so_does_what_an_error_knows():
    with pytest.raises(UnusableError) as caught, as_options({"steps": "--steps"}):
        raise UnusableError("steps is 0, or a NoiseLevel", "too long")
    assert (str(caught.value), caught.value.reason) == (
        "--steps is 0, or a NoiseLevel",
        "too long",
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["generate", "x", "--steps", "0"], "--steps is 0;"),
        (["generate", "x", "--images", "0"], "--images is 0;"),
        (["generate", "x", "--warmup", "-1"], "or use --warmup-noise-level"),
        (["generate", "x", "--plan", "concept=0"], "the number of steps in --plan is 0.0;"),
        (["bench", "run", "embedded-i2p", "--batch-size", "0"], "--batch-size is 0;"),
        (["testbed", "build", "x.csv", "--per-keyword", "0"], "--per-keyword is 0;"),
        (["attack", "--limit", "0"], "--limit is 0;"),
    ],
    ids=str,
)
def test_commands_name_their_options(given, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(given) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_option_by_its_name():
    assert option_name("warmup_noise_level") == "--warmup-noise-level"


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

    check_parameters(typed)
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
