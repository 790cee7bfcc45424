"""What ``python -m training`` takes from the command line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from training import __main__ as command
from training.loop import Budget
from training.package import PACKAGED
from training.prepared import PREPARED
from training.stages import GOING_ON, PREPARING, STAGES

ALONE = """
import importlib.metadata as metadata, sys
from packaging.requirements import Requirement

def name(text):
    return text.lower().replace("_", "-").replace(".", "-")

needed, left = set(), ["torch", "diffusers", "transformers", "numpy"]
while left:
    one = name(left.pop())
    try:
        lines = metadata.requires(one) or []
    except metadata.PackageNotFoundError:  # of another platform
        continue
    if one not in needed:
        needed.add(one)
        wanted = map(Requirement, lines)
        left += [r.name for r in wanted if not r.marker or r.marker.evaluate({"extra": ""})]
ours = {"safelatent", "training", "tests"}
absent = {top for top, of in metadata.packages_distributions().items()
          if not needed & set(map(name, of))} - ours
absent |= {"typer"}  # of some releases of transformers alone
assert {"scipy", "typer"} <= absent

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *where):
        if name.partition(".")[0] not in absent:
            return self.finder.find_spec(name, *where)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
import training.__main__
"""


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
            lambda stages, work, budgets, start, files, place, models, share: runs.append(
                (stages, budgets, start, place, share)
            ),
        )
        monkeypatch.setattr("sys.argv", ["training", *line])
        command.main()
        return runs[0]

    return give


@pytest.fixture
def refused(ran, capsys):
    """Gives a command line that is refused with exit code 2, and returns what it says."""

    def give(*line):
        with pytest.raises(SystemExit) as caught:
            ran(*line)
        assert caught.value.code == 2
        return capsys.readouterr().err

    return give


def test_all_stages_by_default_and_those_that_go_on_from_finished_weights(ran):
    assert ran()[0] == STAGES
    assert (ran("--train-on")[0], ran("--train-on")[2]) == (GOING_ON, PACKAGED)
    stages, budgets, start, place, _ = ran("judge", "--judge-minutes", "2", "--workers", "1")
    assert (stages, start, place) == (("judge",), None, None)
    assert (budgets["judge"].minutes, budgets["judge"].workers) == (2, 1)
    assert not budgets["judge"].wall


def test_it_goes_on_from_any_finished_pipeline(ran, refused, tmp_path):
    assert f"{tmp_path} holds no finished pipeline: give its folder" in refused(
        "locating", "--train-on", str(tmp_path)
    )
    assert "words holds no finished pipeline: give its folder, and stages before" in refused(
        "--train-on", "words"
    )
    (tmp_path / "model_index.json").touch()
    assert ran("locating", "--train-on", str(tmp_path))[2] == tmp_path


def test_a_stage_that_there_is_not_is_refused(refused):
    assert "there is no stage 'bell'; give some of fetch, tokenizer" in refused("tower", "bell")


def test_a_stage_that_finished_weights_leave_nothing_to_is_refused(ran, refused):
    assert (
        "--train-on takes what generator makes from finished weights: leave out the stage, or "
        "--train-on" in refused("generator", "words", "--train-on")
    )
    assert ran("generator", "words")[0] == ("generator", "words")


def test_the_share_of_the_way_from_finished_weights(ran, refused):
    assert (ran()[4], ran("--train-on")[4]) == (1, 1)
    assert ran("ending", "package", "--train-on", "--share", "0.6")[4] == 0.6
    assert "--share 0.6 is of the way from other weights: add --train-on" in refused(
        "ending", "--share", "0.6"
    )
    for share in ("0", "1.1", "-1", "nan", "some"):
        assert f"{share} is no share: give one above 0 and at most 1" in refused(
            "ending", "--train-on", "--share", share
        )


def test_an_untrained_clip_is_not_written(ran, refused):
    assert "--clip-minutes 0 leaves an untrained CLIP: give it more, or add --train-on" in refused(
        "clip", "--clip-minutes", "0"
    )
    assert ran("clip", "--clip-minutes", "0", "--train-on")[1]["clip"].minutes == 0


@pytest.mark.parametrize("option", ["--minutes", "--words-minutes", "--judge-minutes"])
@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "some"])
def test_a_stage_without_time_is_refused(refused, option, minutes):
    assert f"{option}: {minutes} is no time: give minutes above 0" in refused(
        "words", "judge", option, minutes
    )


def test_the_clip_takes_0_minutes_and_no_less(refused):
    assert "--clip-minutes: -1 is no time: give minutes above 0" in refused(
        "clip", "--train-on", "--clip-minutes", "-1"
    )


def test_an_accelerator_works_alone_with_a_share_of_all_minutes_for_each_stage(ran):
    _, budgets, _, place, _ = ran("--device", "cpu", "--minutes", "8", "--decoder-minutes", "1")
    assert (place.device, place.times) == ("cpu", command.TIMES)
    assert {(budget.workers, budget.wall) for budget in budgets.values()} == {(1, True)}
    assert budgets["decoder"].minutes == 1
    assert budgets["generator"].minutes == pytest.approx(8 * command.SHARES["generator"])
    assert sum(command.SHARES.values()) < 0.8, "imports, packaging and the detectors take minutes"
    assert ran()[3] is None


def test_an_accelerators_stage_is_saved_before_it_ends(ran):
    budget = ran("--device", "cpu", "--minutes", "8")[1]["generator"]
    assert budget.checkpoint_minutes < budget.minutes / 3
    assert budget.log_seconds < 60 * budget.minutes / 10
    assert ran()[1]["generator"].checkpoint_minutes == Budget(minutes=1).checkpoint_minutes


def test_a_device_that_is_not_there_is_refused(refused, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for name, words in (
        ("cuda", "torch finds no CUDA device: leave --device out"),
        ("toaster", "'toaster' is no device of torch: give cuda or cpu"),
    ):
        assert words in refused("--device", name)


def test_with_prepared_parts_nothing_is_fetched(ran, monkeypatch, tmp_path):
    unpacked = []
    monkeypatch.setattr(command, "unpack", lambda file, work: unpacked.append((file.name, work)))
    stages = ran("--prepared", "prepared.zip", "--work", str(tmp_path))[0]
    assert not set(stages) & set(PREPARING)
    assert unpacked == [("prepared.zip", tmp_path)]


def test_prepared_parts_in_the_working_folder_are_found(ran, monkeypatch, tmp_path):
    unpacked = []
    monkeypatch.setattr(command, "unpack", lambda file, work: unpacked.append((file, work)))
    work = ("--work", str(tmp_path))
    assert ran(*work)[0] == STAGES
    (tmp_path / PREPARED).touch()
    assert not set(ran(*work)[0]) & set(PREPARING)
    assert unpacked == [(tmp_path / PREPARED, tmp_path)]
    assert ran("fetch", *work)[0] == ("fetch",), "what is asked for by name is done"


def test_training_needs_four_packages_and_theirs_alone():
    """torch, diffusers, transformers, numpy; nothing else that is installed can be imported."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", ALONE], env=environment, check=True)
