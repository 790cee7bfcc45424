from __future__ import annotations

import pytest

from benchmarks import joining
from tests import tiny


@pytest.fixture
def pipe():
    return tiny.pipeline()


@pytest.fixture
def rows(pipe) -> list[int]:
    """Of every call of the denoiser."""
    seen: list[int] = []
    pipe.unet.conv_out.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    return seen


def test_every_size_is_measured_once(pipe, rows, monkeypatch, tmp_path, capsys):
    def measure(*sides: str) -> str:
        asked = ["--sides", *sides, "--batches", "1", "2", "--rounds", "1", "--out", str(tmp_path)]
        monkeypatch.setattr("sys.argv", ["python -m benchmarks.joining", *asked])
        joining.main()
        return capsys.readouterr().out

    monkeypatch.setattr(joining, "load", lambda _: pipe)
    first = measure("8")
    assert rows == [2, 1, 3] * 2 + [4, 2, 6] * 2
    rows.clear()
    assert measure("8", "4").startswith(first), "what is saved is not measured again"
    assert rows == [2, 1, 3] * 2 + [4, 2, 6] * 2
    assert len(first.splitlines()) == 4


def test_the_ratio_is_of_apart_to_joined(pipe):
    found = joining.joining(pipe.unet, 8, 1, 3)
    assert 0 < found.least <= found.median <= found.greatest
