from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from safelatent import BadValueError
from safelatent.cli import prompt_input
from safelatent.cli.prompt_input import prompts_of


@pytest.fixture
def piped(monkeypatch):
    def pipe(data: bytes) -> None:
        monkeypatch.setattr(prompt_input.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))

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


def test_what_is_not_utf_8_is_refused(piped):
    piped("über".encode("latin-1"))
    with pytest.raises(BadValueError, match=r"not UTF-8 \(byte 0 is 0xfc\)"):
        prompts_of(["-"], None)
