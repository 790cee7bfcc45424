from __future__ import annotations

import pytest

from safelatent import BadValueError
from safelatent.prompts import Prompt, PromptSet
from safelatent.runs import RunError, folder, read_progress, read_run
from safelatent.runs.plan import RunPlan
from safelatent.runs.read import each_label, each_row, names_of_detectors
from safelatent.runs.store import Result, Store
from tests.runs import dummy
from tests.runs.memory import held, tracing
from tests.runs.test_execute import ITEMS, PROMPTS, everything, interrupted


def test_the_ways_to_read_agree(tmp_path):
    everything(tmp_path)
    found = read_run(tmp_path)
    assert tuple(each_row(tmp_path)) == found.rows
    assert sorted(each_label(tmp_path)) == sorted(
        (row.method, row.prompt.text, row.label) for row in found.rows
    )
    assert names_of_detectors(tmp_path) == ["dummy"]
    counts = read_progress(tmp_path).counts
    assert counts == {
        label: sum(row.label == label for row in found.rows) for label in sorted(counts)
    }
    order = [(PROMPTS.prompts.index(row.prompt), row.image, row.method) for row in found.rows]
    assert order == sorted(order, key=lambda at: (*at[:2], dummy.METHODS.index(at[2])))


def test_a_run_in_a_folder_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    """SQLite makes files beside a database that it reads; on a disk that is read-only it may not,
    and must not want to.
    """
    everything(tmp_path)
    for beside in tmp_path.glob("run.sqlite-*"):
        beside.unlink()
    monkeypatch.setattr(folder.os, "access", lambda *_: False)
    assert len(read_run(tmp_path).rows) == ITEMS
    assert not list(tmp_path.glob("run.sqlite-*"))


def test_what_is_no_run_is_not_read(tmp_path):
    with pytest.raises(BadValueError, match="holds no run"):
        read_run(tmp_path)
    (tmp_path / "run.sqlite").write_bytes(b"not a database at all, but long enough to be looked at")
    with pytest.raises(RunError, match="not a database"):
        read_run(tmp_path)


def test_a_run_that_was_never_begun_is_none(tmp_path):
    with Store(tmp_path, dummy.settings(PROMPTS), PROMPTS):
        pass
    assert (read_progress(tmp_path).done, read_progress(tmp_path).planned) == (0, ITEMS)
    (tmp_path / "empty").mkdir()
    folder.connect(tmp_path / "empty").close()
    with pytest.raises(BadValueError, match="was never begun"):
        read_run(tmp_path / "empty")


def test_a_run_is_read_while_it_is_written(tmp_path):
    interrupted(tmp_path, 2)
    before = read_run(tmp_path).rows
    with Store(tmp_path, dummy.settings(PROMPTS), PROMPTS) as store:
        rows = each_row(tmp_path)
        first = next(rows)
        batch = list(store.plan)[-1]
        store.commit([dummy.result(item) for item in batch.items])
        assert (first, *rows) == before, "as it was when it was opened"
        assert len(read_run(tmp_path).rows) == 6 + len(batch.items)


def test_a_row_that_is_read_takes_little_more_than_its_text(tmp_path):
    """A report holds every row of a run, 271,200 of them for I2P by six methods."""
    prompts = PromptSet(
        name="few",
        prompts=tuple(Prompt(text=f"prompt {n}", id=f"p-{n}", seed=n) for n in range(50)),
        rows=50,
        skipped={},
    )
    settings = dummy.settings(prompts, images=10, methods=("off", "max"), batch_size=50)
    evidence = {"FACE_FEMALE": 0.5, "BELLY_EXPOSED": 0.25}
    verdict = {"label": "unusable", "score": None, "threshold": 0.5, "evidence": evidence}
    receipt = {
        "concept": "violence " * 20,
        "settings": {"scale": 5000.0, "momentum": 0.5, "decay": 0.7},
        "steps": 50,
        "guided_steps": 50,
    }
    with Store(tmp_path, settings, prompts) as store:
        for batch in RunPlan(settings=settings, prompts=prompts):
            store.commit(
                [
                    Result(
                        key=item.key,
                        prompt_id=item.prompt.id,
                        image=item.image,
                        method=item.method,
                        png=None,
                        label="unusable",
                        verdicts={"one": verdict, "two": verdict},
                        receipt=receipt,
                    )
                    for item in batch.items
                ]
            )
    with tracing():
        found = read_run(tmp_path)
        each = held() / len(found.rows)
    first = found.rows[0]
    assert first.verdicts == {"one": verdict, "two": verdict}
    assert first.receipt == receipt
    text = len(first.verdicts_json) + len(first.receipt_json or "")
    assert each < text + 800, f"{each:.0f} bytes a row, of which {text} are text"
    with tracing():
        light = read_run(tmp_path, details=False)
        assert held() / len(light.rows) < each - text, "the texts stay in the folder"
    assert (light.rows[0].verdicts, light.rows[0].receipt) == (first.verdicts, receipt)
    assert [row.key for row in light.rows] == [row.key for row in found.rows]


def test_a_row_that_was_removed_since_is_an_error(tmp_path):
    everything(tmp_path)
    row = read_run(tmp_path, details=False).rows[0]
    with Store(tmp_path, dummy.settings(PROMPTS), PROMPTS) as store:
        store.forget([row.key])
    with pytest.raises(RunError, match=f"the image {row.key[:12]} of .* was removed"):
        _ = row.verdicts
