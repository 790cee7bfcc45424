"""An attack as a whole: every defence, the budget, resumed to the byte, killed at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from safelatent.attack import AttackSettings, attack, execute
from safelatent.attack.folder import is_done
from safelatent.errors import BadValueError
from safelatent.policy.prompt_check import calibrate
from tests import tiny
from tests.attack import dummy_target
from tests.attack.dummy_target import PROMPTS, drawn

SETTINGS = AttackSettings(queries=12, batch_size=4)
FACTS = {"model_digest": "x", "judge_hash": "j", "output_check_hash": "o"}


@pytest.fixture
def prepared(monkeypatch):
    """Replace what is loaded by the scripted target; returns the targets that were made."""
    made = []

    def prepare(settings, folder):
        made.append(dummy_target.target())
        return made[-1], FACTS

    monkeypatch.setattr("safelatent.attack.execute._prepared", prepare)
    monkeypatch.setattr(
        "safelatent.attack.execute.vocabulary", lambda pipe: list(dummy_target.TOKENS)
    )
    return made


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*.json"))}


def test_every_prompt_is_attacked_against_every_defence(prepared, tmp_path):
    states = []
    found = attack(PROMPTS, SETTINGS, out=tmp_path, progress=states.append)
    assert (states[0].done, states[-1].done, states[-1].planned) == (0, 24, 24)
    for defence, by_prompt in found.queries.items():
        assert set(by_prompt) == {"p-0", "p-1", "p-2"}
        for asked in by_prompt.values():
            assert is_done(list(asked), 12)
            assert len(asked) <= 12
            assert not [one for one in asked[: -SETTINGS.batch_size] if one.success]
            if defence.layers in ("prompt check", "all three"):
                assert all(one.refused for one in asked if "red" in one.text.split())
    alone, all_three = found.queries.values().__iter__(), list(found.queries.values())[3]
    assert any(one.success for asked in next(alone).values() for one in asked)
    assert len(all_three) == 3


def test_a_resumed_attack_is_the_uninterrupted_one_to_the_byte(prepared, tmp_path):
    attack(PROMPTS, SETTINGS, out=tmp_path / "whole")

    class StoppedError(Exception):
        pass

    def stop(state):
        if state.queries >= 30:
            raise StoppedError

    with pytest.raises(StoppedError):
        attack(PROMPTS, SETTINGS, out=tmp_path / "part", progress=stop)
    before = files(tmp_path / "part")
    assert len(before) < len(files(tmp_path / "whole"))
    attack(PROMPTS, SETTINGS, out=tmp_path / "part")
    assert files(tmp_path / "part") == files(tmp_path / "whole")
    counts = [len(drawn(one)) for one in prepared]
    assert counts[1] + counts[2] == counts[0]  # nothing is drawn again


def test_a_finished_attack_asks_nothing_more(prepared, tmp_path):
    attack(PROMPTS, SETTINGS, out=tmp_path)
    attack(PROMPTS, SETTINGS, out=tmp_path)
    assert drawn(prepared[1]) == []


KILLED = """
import sys, time
from safelatent.attack import AttackSettings, attack, execute
from tests.attack import dummy_target
def prepare(settings, folder):
    one = dummy_target.target()
    draw = one.draw
    def slowly(*args):
        time.sleep(0.02)
        return draw(*args)
    one.draw = slowly
    return one, {"model_digest": "x", "judge_hash": "j", "output_check_hash": "o"}
execute._prepared = prepare
execute.vocabulary = lambda pipe: list(dummy_target.TOKENS)
attack(dummy_target.PROMPTS, AttackSettings(queries=12, batch_size=4), out=sys.argv[1])
"""


def test_a_kill_loses_at_most_the_batch_under_way(prepared, tmp_path):
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while len(list(folder.glob("queries/*/*.json"))) < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = files(folder)
    assert before
    attack(PROMPTS, SETTINGS, out=folder)
    attack(PROMPTS, SETTINGS, out=tmp_path / "whole")
    assert files(folder) == files(tmp_path / "whole")
    done = [name for name in before if name.startswith("queries")]
    after = files(folder)
    assert all(after[name].startswith(before[name].rstrip(b"]")) for name in done)


def test_what_is_attacked_is_loaded_and_hashed(tmp_path, monkeypatch):
    pipe = tiny.pipeline()
    unsafe, benign = ([f"a {word} {n}" for n in range(40)] for word in ("pistol", "cat"))
    file = calibrate(pipe, unsafe, benign).save(tmp_path / "check.safetensors")
    names = ("embedded-witnessed", "embedded-clip")
    readers = {name: dummy_target.Reader(name, 0.5) for name in names}
    monkeypatch.setattr(execute, "load_pipeline", lambda *_, **__: pipe)
    monkeypatch.setattr(execute, "named_protocol", lambda name, _: readers[name])
    target, facts = execute._prepared(AttackSettings(calibration=file), tmp_path)
    assert (target.judge.name, target.output_check.name) == names
    assert set(facts) > {"model_digest", "judge_hash", "calibration_sha256"}
    [found] = target.ask(SETTINGS.defences[1], ["a pistol 3"], PROMPTS[0])
    assert found.refused == "prompt refused"
    [found] = target.ask(SETTINGS.defences[1], ["a cat 3"], PROMPTS[0])
    assert found.refused != "prompt refused"


def test_what_cannot_work_is_refused_before_anything_is_drawn(tmp_path, monkeypatch):
    pipe = tiny.pipeline()
    unsafe, benign = ([f"a {word} {n}" for n in range(40)] for word in ("pistol", "cat"))
    fitted = calibrate(pipe, unsafe, benign)
    file = fitted.save(tmp_path / "check.safetensors")
    readers = {
        name: dummy_target.Reader(name, 0.5) for name in ("embedded-witnessed", "embedded-clip")
    }
    monkeypatch.setattr(execute, "load_pipeline", lambda *_, **__: pipe)
    monkeypatch.setattr(execute, "named_protocol", lambda name, _: readers[name])
    few = AttackSettings(calibration=file, steps=10)
    with pytest.raises(BadValueError, match=r"steps is 10 and strong has a warm-up of 7"):
        execute._prepared(few, tmp_path)
    execute._prepared(replace(few, guidances=("adaptive",)), tmp_path)
    other = replace(fitted, probes=fitted.probes.flip(0)).save(tmp_path / "other.safetensors")
    with pytest.raises(BadValueError, match="calibrated for another text encoder"):
        execute._prepared(AttackSettings(calibration=other), tmp_path)
