"""What ``python -m training`` takes from the command line."""

from __future__ import annotations

import pytest

from training import __main__ as command
from training.package import PACKAGED
from training.stages import GOING_ON, PREPARING, STAGES


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
            lambda stages, work, budgets, start, files, place, models: runs.append(
                (stages, budgets, start, place)
            ),
        )
        monkeypatch.setattr("sys.argv", ["training", *line])
        command.main()
        return runs[0]

    return give


def test_all_stages_by_default_and_those_that_go_on_from_finished_weights(ran):
    assert ran()[0] == STAGES
    assert (ran("--train-on")[0], ran("--train-on")[2]) == (GOING_ON, PACKAGED)
    stages, budgets, start, place = ran("judge", "--judge-minutes", "2", "--workers", "1")
    assert (stages, start, place) == (("judge",), None, None)
    assert (budgets["judge"].minutes, budgets["judge"].workers) == (2, 1)
    assert not budgets["judge"].wall


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


def test_an_accelerator_works_alone_with_a_share_of_all_minutes_for_each_stage(ran):
    _, budgets, _, place = ran("--device", "cpu", "--minutes", "8", "--decoder-minutes", "1")
    assert (place.device, place.times) == ("cpu", command.TIMES)
    assert {(budget.workers, budget.wall) for budget in budgets.values()} == {(1, True)}
    assert budgets["decoder"].minutes == 1
    assert budgets["generator"].minutes == pytest.approx(8 * command.SHARES["generator"])
    assert sum(command.SHARES.values()) < 0.9
    assert ran()[3] is None


def test_a_device_that_is_not_there_is_refused(ran, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for name, words in (
        ("cuda", "torch finds no CUDA device: leave --device out"),
        ("toaster", "'toaster' is no device of torch: give cuda or cpu"),
    ):
        with pytest.raises(SystemExit) as caught:
            ran("--device", name)
        assert caught.value.code == 2
        assert words in capsys.readouterr().err


def test_with_prepared_parts_nothing_is_fetched(ran, monkeypatch, tmp_path):
    unpacked = []
    monkeypatch.setattr(command, "unpack", lambda file, work: unpacked.append((file.name, work)))
    stages = ran("--prepared", "prepared.zip", "--work", str(tmp_path))[0]
    assert not set(stages) & set(PREPARING)
    assert unpacked == [("prepared.zip", tmp_path)]
