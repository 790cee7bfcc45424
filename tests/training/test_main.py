"""What ``python -m training`` takes from the command line."""

from __future__ import annotations

import pytest

from training import __main__ as command
from training.package import PACKAGED
from training.stages import GOING_ON, STAGES


@pytest.fixture
def ran(monkeypatch):
    """Gives the command line, and returns what was to be run: stages, minutes of each, and where to
    start from.
    """

    def give(*line):
        runs = []
        monkeypatch.setattr(
            command,
            "run",
            lambda stages, work, budgets, start, files: runs.append((stages, budgets, start)),
        )
        monkeypatch.setattr("sys.argv", ["training", *line])
        command.main()
        return runs[0]

    return give


def test_all_stages_by_default_and_those_that_go_on_from_finished_weights(ran):
    assert ran()[0] == STAGES
    assert (ran("--train-on")[0], ran("--train-on")[2]) == (GOING_ON, PACKAGED)
    stages, budgets, start = ran("judge", "--judge-minutes", "2", "--workers", "1")
    assert (stages, budgets["judge"].minutes, budgets["judge"].workers, start) == (
        ("judge",),
        2,
        1,
        None,
    )


def test_a_stage_that_there_is_not_is_refused(ran, capsys):
    with pytest.raises(SystemExit) as caught:
        ran("tower", "bell")
    assert caught.value.code == 2
    assert "there is no stage 'bell'; give some of fetch, tokenizer" in capsys.readouterr().err


def test_an_untrained_clip_is_not_written(ran, capsys):
    with pytest.raises(SystemExit) as caught:
        ran("clip", "--clip-minutes", "0")
    assert caught.value.code == 2
    assert (
        "--clip-minutes 0 leaves an untrained CLIP: give it more, or add --train-on"
        in capsys.readouterr().err
    )
    assert ran("clip", "--clip-minutes", "0", "--train-on")[1]["clip"].minutes == 0
