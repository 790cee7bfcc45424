from __future__ import annotations

import io
import sys

import pytest

from safelatent.cli.prompt_input import prompts_of
from safelatent.errors import BadValueError


def test_arguments_file_and_standard_input_in_this_order(tmp_path, monkeypatch):
    listed = tmp_path / "prompts.txt"
    listed.write_bytes("\ufeffa cat\r\n\r\n  a dog  \n".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the party\n\n"), "utf-8"))
    assert prompts_of([" an owl ", "-"], listed) == [" an owl ", "the party", "a cat", "a dog"]


def test_no_prompt_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("\n\n")
    for file in (None, tmp_path / "empty.txt"):
        with pytest.raises(BadValueError, match="no prompt was given; write one in quotes"):
            prompts_of([], file)
