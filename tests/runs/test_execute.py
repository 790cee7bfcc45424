from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from safelatent import BadValueError, UnsupportedError, storage
from safelatent.prompts import Prompt, PromptSet
from safelatent.runs import Progress, RunError, read_progress, read_run, run
from safelatent.runs.engines.local import run_local
from safelatent.runs.execute import draw
from safelatent.runs.read import each_row
from safelatent.runs.scores import score_lines
from safelatent.runs.store import Result
from tests.runs import dummy
from tests.runs.memory import held, tracing

PROMPTS = dummy.prompt_set()
ITEMS = 6 * 2 * 3


def everything(
    place: Path, prompts=PROMPTS, engine=dummy.engine, redraw_missing=False, **changes
) -> list[Progress]:
    settings = dummy.settings(prompts, **changes)
    return list(draw(place, settings, prompts, engine, redraw_missing=redraw_missing))


def files_of(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*.png"))
    }


def table(place: Path) -> bytes:
    return (place / "scores.csv").read_bytes()


class Counting:
    """The dummy's engine; ``keys`` lists what it drew, ``batches`` how much at a time."""

    def __init__(self, stop: int | None = None) -> None:
        self.keys, self.batches, self.stop = [], [], stop

    def __call__(self, batches, save):
        for n, batch in enumerate(batches):
            if n == self.stop:
                return
            self.keys.extend(item.key for item in batch.items)
            self.batches.append(tuple(item.key for item in batch.items))
            yield save([dummy.result(item) for item in batch.items])


def interrupted(place: Path, batches: int, prompts=PROMPTS, **changes) -> None:
    """A run that is stopped after so many batches, before its score table."""
    going = draw(place, dummy.settings(prompts, **changes), prompts, dummy.engine)
    for _ in range(batches + 1):
        next(going)
    going.close()


def test_a_run_does_every_item_once(tmp_path):
    states = everything(tmp_path)
    assert (states[0].counts, states[0].planned) == ({}, ITEMS)
    assert states[-1].done == ITEMS
    found = read_run(tmp_path)
    assert len(found.rows) == found.planned == ITEMS
    assert {(row.prompt.id, row.image, row.method) for row in found.rows} == {
        (p.id, n, m) for p in PROMPTS for n in range(2) for m in ("off", "medium", "max")
    }
    assert found.rows_read == 7
    assert found.skipped == {"empty": 1}
    assert table(tmp_path).count(b"\n") == ITEMS + 1
    progress = read_progress(tmp_path)
    assert (progress.counts, progress.done) == (states[-1].counts, ITEMS)


def test_the_same_command_resumes(tmp_path):
    for batches in range(3):
        interrupted(tmp_path, batches + 1)
    before = {row.key for row in read_run(tmp_path).rows}
    counting = Counting()
    everything(tmp_path, engine=counting)
    assert len(before) > 0
    assert before.isdisjoint(counting.keys), "nothing is done twice"
    whole = tmp_path / "whole"
    states = everything(whole)
    assert table(tmp_path) == table(whole)
    assert everything(tmp_path) == [states[-1]], "a finished run has nothing left to do"


GROWTHS = {
    "images": {"images": 3},
    "prompts": {"prompts": dummy.prompt_set(9)},
    "methods": {"methods": ("off", "weak", "medium", "max")},
    "all": {"images": 3, "prompts": dummy.prompt_set(9), "methods": dummy.METHODS},
}


@pytest.mark.parametrize("growth", GROWTHS)
def test_a_run_grows_and_draws_only_what_is_missing(tmp_path, growth):
    changes = GROWTHS[growth]
    first, second = Counting(), Counting()
    everything(tmp_path, engine=first)
    states = everything(tmp_path, engine=second, **changes)
    assert states[0].done == ITEMS
    found = read_run(tmp_path)
    assert len(found.rows) == found.planned == states[-1].planned == states[-1].done > ITEMS
    assert set(first.keys).isdisjoint(second.keys)
    fresh = Counting()
    everything(tmp_path / "fresh", engine=fresh, **changes)
    assert {*first.keys, *second.keys} == {*fresh.keys}
    assert table(tmp_path) == table(tmp_path / "fresh"), "the dummy's images know no batch"


@pytest.mark.parametrize("stops", [(0, 0), (1, 0), (0, 2), (3, 4), (99, 1)])
def test_a_run_that_grows_draws_the_same_batches_whenever_it_is_interrupted(tmp_path, stops):
    """The composition of batches may change the last bit of an image; it follows from the commands
    alone.
    """
    commands = [{}, {"images": 3, "prompts": dummy.prompt_set(9)}, {"methods": dummy.METHODS}]
    commands[2] |= commands[1]
    plain = Counting()
    for changes in commands:
        everything(tmp_path / "plain", engine=plain, **changes)
    drawn: list[tuple[str, ...]] = []
    for changes, stop in zip(commands, (*stops, None), strict=True):
        one = Counting(stop)
        everything(tmp_path / "stopped", engine=one, **changes)
        drawn += one.batches
    assert sorted(drawn) == sorted(plain.batches)
    assert len(set(drawn)) == len(drawn)
    assert table(tmp_path / "stopped") == table(tmp_path / "plain")


def test_a_run_does_not_shrink(tmp_path):
    everything(tmp_path)
    for changes, message in (
        ({"images": 1}, "images is 1, was 2"),
        ({"methods": ("off", "weak")}, "methods left out: medium, max"),
        ({"prompts": dummy.prompt_set(4)}, r"prompts left out: 2 \('p-4' first\)"),
    ):
        with pytest.raises(BadValueError, match=message):
            everything(tmp_path, **changes)
    assert len(read_run(tmp_path).rows) == ITEMS


def test_a_growth_of_which_nothing_was_drawn_can_be_taken_back(tmp_path):
    interrupted(tmp_path, 2)
    interrupted(tmp_path, 0, images=1000)  # a slip of the hand
    assert read_run(tmp_path).planned == ITEMS * 500
    everything(tmp_path)
    everything(tmp_path / "plain")
    assert table(tmp_path) == table(tmp_path / "plain")
    interrupted(tmp_path, 1, images=3)
    with pytest.raises(BadValueError, match="images is 2, was 3"):
        everything(tmp_path)


def test_a_run_of_which_nothing_was_drawn_takes_any_settings(tmp_path):
    """After a model that ran out of memory at the first batch: a smaller batch size."""
    interrupted(tmp_path, 0)
    everything(tmp_path, batch_size=1, steps=20)
    assert read_run(tmp_path).settings.steps == 20


def test_other_settings_on_the_same_folder_are_refused_and_the_difference_is_named(tmp_path):
    everything(tmp_path)
    for changes, message in (
        ({"steps": 20, "methods": ("off",)}, "steps is 20, was 50; methods left out: medium"),
        ({"revision": "b0b0"}, r"revision is \"b0b0\", was null"),
        ({"variant": "fp16"}, r"variant is \"fp16\", was null"),
        ({"batch_size": 4}, "batch_size is 4, was 3"),
        ({"concept": "violence"}, "concept is"),
        ({"protocol_hash": "2" * 64}, "protocol_hash is"),
    ):
        with pytest.raises(BadValueError, match=f"{message}.*repeat its settings to resume it"):
            everything(tmp_path, **changes)
    assert len(read_run(tmp_path).rows) == ITEMS


def test_deleted_images_are_reported_and_redrawn_on_request(tmp_path, caplog):
    everything(tmp_path)
    before, images = table(tmp_path), files_of(tmp_path)
    for name in list(images)[:4]:
        (tmp_path / name).unlink()
    [state] = everything(tmp_path)
    assert state.missing == 4
    assert f"4 images are missing from {tmp_path / 'images'}; give --redraw-missing" in caplog.text
    assert sum(row.has_image and row.file is None for row in read_run(tmp_path).rows) == 4
    counting = Counting()
    states = everything(tmp_path, engine=counting, redraw_missing=True)
    assert {state.missing for state in states} == {0}
    assert 4 <= len(counting.keys) <= 4 * 3, "whole batches, and only those"
    assert states[-1].done == ITEMS
    assert files_of(tmp_path) == images
    assert table(tmp_path) == before
    assert len(everything(tmp_path, redraw_missing=True)) == 1, "nothing is missing any more"


def test_a_run_without_any_image_left_is_drawn_again(tmp_path):
    everything(tmp_path)
    images = files_of(tmp_path)
    for name in images:
        (tmp_path / name).unlink()
    assert everything(tmp_path)[-1].missing == len(images)
    everything(tmp_path, redraw_missing=True)
    assert files_of(tmp_path) == images


def test_a_distance_to_an_image_that_is_gone_or_cut_is_unknown(tmp_path):
    everything(tmp_path, methods=("off",))
    gone, cut = [row.file for row in read_run(tmp_path).rows if row.file][:2]
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:60])
    everything(tmp_path)
    rows = {(row.prompt.id, row.image, row.method): row for row in read_run(tmp_path).rows}
    by_key = {row.key: (row.prompt.id, row.image) for row in rows.values()}
    for file in (gone, cut):
        assert rows[*by_key[file.stem], "max"].distance is None
    assert any(row.distance is not None for row in rows.values())


def test_run_is_one_call_from_python(tmp_path):
    states: list[Progress] = []
    result = run(
        "embedded-i2p",
        methods=("off", "max"),
        images=1,
        limit=2,
        steps=2,
        batch_size=2,
        out=tmp_path / "quick",
        progress=states.append,
    )
    assert [state.done for state in states] == [0, 2, 4]
    assert (result.folder, result.missing) == (tmp_path / "quick", 0)
    assert result.counts == states[-1].counts
    assert sum(result.counts.values()) == 4
    assert result.scores.read_text().count("\n") == 5
    found = read_run(result.folder)
    assert [row.method for row in found.rows] == ["off", "max"] * 2
    assert {row.label for row in found.rows} <= {"safe", "inappropriate", "unusable"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 8, "methods": ("off", "weak", "strong")}, "weak has a warm-up of 15, strong ha"),
        ({"steps": 16, "methods": ("weak",)}, "weak has a warm-up of 15, which may be at most"),
        ({"protocol": "i2p-paper"}, r"i2p-paper.*needs Q16's published vectors.*docs/detectors.md"),
        ({"device": "cudda"}, "there is no device 'cudda'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_drawn(tmp_path, settings, message):
    with pytest.raises(BadValueError, match=message):
        run("embedded-i2p", limit=1, images=1, out=tmp_path / "run", **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_caller_s_own_error_is_the_caller_s(tmp_path):
    def broken(_):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        run(
            "embedded-i2p",
            methods="off",
            limit=1,
            images=1,
            steps=1,
            out=tmp_path,
            progress=broken,
        )
    assert not isinstance(caught.value, BadValueError)


def test_an_engine_that_is_not_installed_is_named_before_anything_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("safelatent.runs.prepare.load_parts", lambda _: 1 / 0)
    with pytest.raises(UnsupportedError, match=r'pip install "safelatent\[ray\]"'):
        run("embedded-i2p", limit=1, engine="ray", out=tmp_path / "run")


def fails_at(monkeypatch, call: str, number: int, code: int) -> list[int]:
    """Let the ``number``-th call of this name fail, none for 0; the list counts them."""
    module = storage.tempfile if call == "mkstemp" else storage.os
    real, seen, one_by_one = getattr(module, call), [0], threading.Lock()

    def failing(*arguments, **options):
        with one_by_one:  # files are written in several threads
            seen[0] += 1
            fails = seen[0] == number
        if fails:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    monkeypatch.setattr(module, call, failing)
    return seen


@pytest.mark.parametrize("call", ["mkstemp", "fsync", "replace"])
def test_a_full_disk_at_any_write_loses_nothing(tmp_path, monkeypatch, call):
    """At every single one of a small run's: where a file begins, where it or its folder is synced,
    where it gets its name.
    """
    prompts = dummy.prompt_set(2)
    small = {"prompts": prompts, "engine": dummy.local, "images": 1}
    with monkeypatch.context() as patch:
        writes = fails_at(patch, call, 0, errno.ENOSPC)
        everything(tmp_path / "whole", **small)
    whole = table(tmp_path / "whole")
    for number in range(1, writes[0] + 1):
        place = tmp_path / str(number)
        with monkeypatch.context() as patch:
            fails_at(patch, call, number, errno.ENOSPC)
            with pytest.raises(RunError, match="No space left on device; ") as caught:
                everything(place, **small)
        saved = any((place / "images").rglob("*.png"))
        assert ("completed images are saved" in str(caught.value)) == saved
        assert {row.prompt.id for row in read_run(place).rows} <= {"p-0", "p-1"}
        assert not list(place.rglob(".*.tmp"))
        everything(place, **small)
        assert table(place) == whole


def test_a_file_system_that_becomes_read_only_ends_the_run_in_one_line(tmp_path, monkeypatch):
    fails_at(monkeypatch, "mkstemp", 5, errno.EROFS)
    with pytest.raises(
        RunError, match="Read-only file system; completed images are saved"
    ) as caught:
        everything(tmp_path)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    saved = len(read_run(tmp_path).rows)  # whole batches; an image that failed has no file
    assert 0 < saved < ITEMS
    assert saved % 3 == 0
    everything(tmp_path)
    assert len(read_run(tmp_path).rows) == ITEMS


def test_a_folder_on_a_read_only_disk_is_refused(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RunError, match="cannot be written: Read-only file system"):
        everything(tmp_path / "run")


@pytest.mark.slow
def test_a_hundred_kills_lose_double_and_corrupt_nothing(tmp_path):
    """SIGKILL at a random line of what writes, while the run is drawn and while it grows; the score
    table of every run is, to the byte, that of an uninterrupted one.
    """
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), *sys.path])
    command = [sys.executable, str(here / "kill_harness.py"), str(tmp_path), "100", "20221113"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["killed"] == 100
    assert found["failed"] == 0, done.stderr
    assert found["corrupt"] == 0
    assert found["lost"] <= 2, "the batch that was drawn last, and the one before it"
    assert set(found["ends"]) == {0}
    whole = tmp_path / "whole"
    everything(whole, prompts=dummy.prompt_set(8))
    everything(whole, prompts=dummy.prompt_set(12), images=3)
    for folder in found["runs"]:
        assert table(Path(folder)) == table(whole)
        assert files_of(Path(folder)) == files_of(whole), "none too many, missing or different"
        assert not list(Path(folder).rglob(".*.tmp"))


MANY_PROMPTS = PromptSet(
    name="many",
    prompts=tuple(Prompt(text=f"prompt {n}", id=f"p-{n}", seed=n) for n in range(200)),
    rows=200,
    skipped={},
)
ROOT = Path(__file__).parents[2]
FEW, MANY = 1, 5  # images per prompt, by each of two methods
PNG = dummy.png(next(iter(dummy.plan(MANY_PROMPTS))).items[0])


class SamePicture(dummy.Worker):
    """Draws the same picture every time, as bytes of its own: what is measured is who keeps it."""

    def finish(self, denoised):
        verdicts = {"dummy": {"label": "safe", "score": 0.25, "threshold": 0.5, "evidence": ""}}
        return [
            Result(
                key=item.key,
                prompt_id=item.prompt.id,
                image=item.image,
                method=item.method,
                png=bytes(bytearray(PNG)),
                label="safe",
                verdicts=verdicts,
            )
            for item in denoised.items
        ]


def measured(place: Path, images: int) -> tuple[int, int]:
    """Bytes held when all is drawn and the run has not ended, and at the last line of the score
    table.
    """
    settings = dummy.settings(MANY_PROMPTS, images=images, methods=("off", "max"), batch_size=20)
    total, drawn, written = len(MANY_PROMPTS) * images * 2, 0, 0
    with tracing():
        for state in draw(place, settings, MANY_PROMPTS, partial(run_local, SamePicture())):
            drawn = held() if state.done == total else 0
        for n, _ in enumerate(score_lines(each_row(place), ["dummy"])):
            written = held() if n == total else 0
    return drawn, written


@pytest.mark.slow
def test_memory_stays_flat_from_400_images_to_2000(tmp_path):
    """In a process of its own: what other tests have left, and what moves the results of a test
    between processes, allocates in its own time.
    """
    code = (
        "import json, sys; from pathlib import Path; "
        "from tests.runs.test_execute import FEW, MANY, measured; folder = Path(sys.argv[1]);"
        "print(json.dumps([measured(folder / str(n), n) for n in (FEW, MANY)]))"
    )

    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    few, many = json.loads(done.stdout)
    images = len(MANY_PROMPTS) * 2 * (MANY - FEW)
    for what, less, more in zip(("drawing", "writing the table"), few, many, strict=True):
        each = (more - less) / images
        assert each < 8, f"{what}: {less} bytes for few, {more} for many: {each:.1f} per image"
