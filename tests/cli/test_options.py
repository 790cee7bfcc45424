from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
import typer

from safelatent import BadValueError
from safelatent.cli import app, main, options, policy, study
from safelatent.cli.bench import bench_run
from safelatent.cli.bench_fidelity import bench_fidelity, convert_inception
from safelatent.cli.check import check, convert_q16
from safelatent.cli.generate import generate
from safelatent.cli.options import DTYPES, check_choice
from safelatent.cli.report import report
from safelatent.cli.testbed import build


def test_a_choice_that_is_not_known_is_refused_with_a_suggestion():
    check_choice("--dtype", None, DTYPES)
    check_choice("--dtype", "float16", DTYPES)
    with pytest.raises(BadValueError, match=r"--dtype is 'floot16' .did you mean 'float16'"):
        check_choice("--dtype", "floot16", DTYPES)


def test_every_option_has_a_help_of_whole_words():
    shared = [getattr(options, name) for name in dir(options) if name[0].isupper()]
    helps = [one.__metadata__[0].help for one in shared if hasattr(one, "__metadata__")]
    assert len(helps) == 13
    for text in helps:
        assert text[0].isupper() or text.startswith(("'", "cpu", "float32", "local"))
        assert text.endswith(".")


def test_the_dtypes_are_those_of_a_run():
    from safelatent.runs.settings import Dtype

    assert get_args(Dtype) == DTYPES


COMMANDS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "generate": (generate, ("a cat",)),
    "check": (check, ("picture.png",)),
    "convert-q16": (convert_q16, ("prompts.p", "q16.safetensors")),
    "bench run": (bench_run, ("embedded-i2p",)),
    "bench fidelity": (bench_fidelity, ("run", "--reference", "scenes")),
    "report": (report, ("run",)),
    "convert-inception": (convert_inception, ("weights.pth", "inception.safetensors")),
    "policy show": (policy.show, ("policy.toml",)),
    "policy calibrate": (policy.calibrate, ("--unsafe", "a", "--benign", "b", "--out", "c")),
    "study create": (study.create, ("run", "--methods", "off,max")),
    "study serve": (study.serve, ("study",)),
    "study report": (study.report, ("study",)),
    "testbed build": (build, ("corpus.csv",)),
}


def empty_paths() -> Iterator[list[str]]:
    """Every command with each of its paths left empty."""
    for name, (function, rest) in COMMANDS.items():
        place = 0
        for parameter in inspect.signature(function, eval_str=True).parameters.values():
            told = parameter.annotation.__metadata__[0]
            is_argument = type(told).__name__.startswith("Argument")
            if "Path" not in str(parameter.annotation.__args__ or parameter.annotation.__origin__):
                continue
            if is_argument:
                yield [*name.split(), *rest[:place], "", *rest[place + 1 :]]
                place += 1
            else:
                # Typer keeps an option's own name where the default of an unannotated one is.
                own = told.default if str(told.default).startswith("--") else None
                option = own or f"--{parameter.name.replace('_', '-')}"
                yield [*name.split(), *rest, option, ""]


EMPTY = list(empty_paths())


def commands(command: Any, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of all commands that do something."""
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*above, name))
    if not hasattr(command, "commands"):
        yield " ".join(above)


def test_every_command_that_takes_a_path_is_among_them():
    found = set(commands(typer.main.get_command(app)))
    assert found - {"policy schema"} == set(COMMANDS)
    for name in COMMANDS:
        words = name.split()
        assert any(words == one[: len(words)] for one in EMPTY), name


@pytest.mark.parametrize("words", EMPTY, ids=" ".join)
def test_an_empty_path_is_refused_in_one_line_and_nothing_is_written(
    words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "the path is empty; name a file or a folder" in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
