"""Fidelity as numbers: kept and read again, and what makes two of them comparable."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from safelatent.errors import BadValueError
from safelatent.evaluation.fidelity import FILE, save_fidelity, stored_fidelity
from tests.evaluation.made_fidelity import made_fidelity


def test_it_comes_back_as_it_was_kept(tmp_path):
    found = made_fidelity()
    assert save_fidelity(found, tmp_path) == tmp_path / FILE
    again = stored_fidelity(tmp_path)
    kernels = [method.kernel for method in again.methods]
    assert math.isnan(kernels[0].standard_error)
    known = replace(kernels[0], standard_error=0.5)
    [first, *others] = (again.methods, found.methods)
    assert [replace(m, kernel=m.kernel and known) for m in first] == [
        replace(m, kernel=m.kernel and known) for m in others[0]
    ]
    assert replace(again, methods=()) == replace(found, methods=())
    assert again.hash == found.hash


def test_nothing_kept_is_none(tmp_path):
    assert stored_fidelity(tmp_path) is None


def test_the_hash_is_of_networks_and_reference_and_of_no_name():
    found = made_fidelity()
    for name in ("features", "clip", "latents", "reference"):
        source = getattr(found, name)
        assert replace(found, **{name: replace(source, hash="f" * 64)}).hash != found.hash
        assert replace(found, **{name: replace(source, name="other")}).hash == found.hash
    assert replace(found, latents=None).hash != found.hash
    assert replace(found, methods=()).hash == found.hash


BROKEN = {
    "no JSON": lambda text: text[:-5],
    "another format": lambda text: text.replace('"format": 1', '"format": 0'),
    "a list": lambda _: "[]",
    "a name too many": lambda text: text.replace('"published"', '"pubished"'),
    "text for a count": lambda text: text.replace('"n": 280', '"n": "<b>"', 1),
    "text for a distance": lambda text: text.replace('"mind": 2.5', '"mind": "<b>"'),
    "text in a rate": lambda text: text.replace('"value": 0.75', '"value": "<b>"'),
    "a number for a name": lambda text: text.replace('"name": "embedded"', '"name": 7'),
    "ends out of order": lambda text: text.replace('"low": 0.65', '"low": 0.9'),
    "no ascii": lambda _: "ü",
    "no method": lambda text: json.dumps({**json.loads(text), "methods": []}),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_line(tmp_path, case):
    file = save_fidelity(made_fidelity(), tmp_path)
    spoilt = BROKEN[case](file.read_text(encoding="utf-8"))
    assert spoilt != file.read_text(encoding="utf-8")
    file.write_text(spoilt, encoding="utf-8")
    with pytest.raises(BadValueError, match=r"fidelity\.json' cannot be read \(.*\); delete it"):
        stored_fidelity(tmp_path)


def test_a_link_or_a_huge_file_is_not_read(tmp_path):
    file = save_fidelity(made_fidelity(), tmp_path / "elsewhere")
    (tmp_path / FILE).symlink_to(file)
    with pytest.raises(BadValueError, match="is a link"):
        stored_fidelity(tmp_path)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).write_text(json.dumps("x" * 1_000_001), encoding="ascii")
    with pytest.raises(BadValueError, match="too large"):
        stored_fidelity(tmp_path)
