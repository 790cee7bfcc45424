from __future__ import annotations

from typing import get_args

import pytest

from safelatent import BadValueError
from safelatent.cli import options
from safelatent.cli.options import DTYPES, check_choice


def test_a_choice_that_is_not_known_is_refused_with_a_suggestion():
    check_choice("--dtype", None, DTYPES)
    check_choice("--dtype", "float16", DTYPES)
    with pytest.raises(BadValueError, match=r"--dtype is 'floot16' .did you mean 'float16'"):
        check_choice("--dtype", "floot16", DTYPES)


def test_every_option_has_a_help_of_whole_words():
    shared = [getattr(options, name) for name in dir(options) if name[0].isupper()]
    helps = [one.__metadata__[0].help for one in shared if hasattr(one, "__metadata__")]
    assert len(helps) == 16
    for text in helps:
        assert text[0].isupper() or text.startswith(("'", "cpu", "float32", "local"))
        assert text.endswith(".")


def test_the_dtypes_are_those_of_a_run():
    from safelatent.runs.settings import Dtype

    assert get_args(Dtype) == DTYPES


def test_the_protocols_are_all_that_there_are():
    from safelatent.detectors import PROTOCOLS

    assert sorted(options.PROTOCOLS.replace(" or ", ", ").split(", ")) == sorted(PROTOCOLS)
