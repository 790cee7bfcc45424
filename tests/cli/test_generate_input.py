from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from safelatent.cli import generate_input
from safelatent.cli.generate_input import (
    MOST_COMPARED,
    check_counts,
    check_judge,
    check_sheets,
    prompts_of,
)
from safelatent.errors import BadValueError

FINE = (False, False, 1, None, None, {})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({0: True, 1: True}, "two pictures"),
        ({0: True, 2: 3}, "--images is 3"),
        ({0: True, 4: "max"}, "leave --safety out"),
        ({0: True, 5: {"scale": 9.0}}, "leave --scale out"),
        ({0: True, 3: "dog"}, "leave --negative-prompt out"),
        ({1: True, 4: "off"}, "--trace needs the guard"),
        ({5: {"warmup": 3, "warmup_noise_level": 0.5}}, "say the same"),
    ],
)
def test_sheets(changes, said):
    given = [changes.get(n, value) for n, value in enumerate(FINE)]
    with pytest.raises(BadValueError, match=said):
        check_sheets(*given)
    check_sheets(*FINE)


def test_judging_where_nothing_is_judged():
    check_judge(None, None, judged=False)
    check_judge("embedded", None, judged=True)
    with pytest.raises(BadValueError, match="--vectors is for"):
        check_judge(None, Path("q16.npy"), judged=False)


def test_counts():
    check_counts(["a"] * MOST_COMPARED, 1, compare=True)
    with pytest.raises(BadValueError, match="--batch-size is 0"):
        check_counts(["a"], 0, compare=False)
    with pytest.raises(BadValueError, match="at most 100"):
        check_counts(["a"] * (MOST_COMPARED + 1), 1, compare=True)


@pytest.fixture
def piped(monkeypatch):
    def pipe(data: bytes) -> None:
        monkeypatch.setattr(generate_input.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))

    return pipe


def test_arguments_standard_input_and_a_file_in_this_order(piped, tmp_path):
    piped("\ufeffa dog\n\n  a bird \n".encode())
    (tmp_path / "prompts.txt").write_text("a house\n\na tree\n")
    found = prompts_of(["a cat", "-", "a fish"], tmp_path / "prompts.txt")
    assert found == ["a cat", "a dog", "a bird", "a fish", "a house", "a tree"]


@pytest.mark.parametrize("data", [b"", b"\n  \n"])
def test_no_prompt_is_refused(piped, data):
    piped(data)
    for arguments in ([], ["-"]):
        with pytest.raises(BadValueError, match="no prompt was given; write one in quotes"):
            prompts_of(arguments, None)


def test_a_file_without_a_prompt_is_named(tmp_path):
    file = tmp_path / "empty.txt"
    file.write_text("\n \n")
    with pytest.raises(BadValueError, match=r"empty.txt' holds no prompt; write one per line$"):
        prompts_of([], file)
    assert prompts_of(["a cat"], file) == ["a cat"]


def test_what_is_not_utf_8_is_refused(piped):
    piped("über".encode("latin-1"))
    with pytest.raises(BadValueError, match=r"not UTF-8 \(byte 0 is 0xfc\)"):
        prompts_of(["-"], None)
