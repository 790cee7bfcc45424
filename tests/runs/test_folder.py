"""What a stranger may have put into a run's folder: every value is refused in one line."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from safelatent import BadValueError, SafelatentError
from safelatent.detectors.contract import LABELS
from safelatent.runs import Run, RunError, folder, read_run
from safelatent.runs.folder import image_file, read_only
from safelatent.runs.read import each_label, names_of_detectors, read_progress
from tests.runs import dummy
from tests.runs.test_execute import ITEMS, PROMPTS, everything


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("done")
    everything(place)
    return place


@pytest.fixture
def run_folder(done, tmp_path):
    """A copy of a finished run."""
    return shutil.copytree(done, tmp_path / "run")


def change(place, *statements: str) -> None:
    """What a stranger does to the database, with every check off."""
    with closing(sqlite3.connect(place / "run.sqlite")) as database, database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            database.execute(statement)


def refused(place, message: str = ".") -> None:
    """Everything that reads the run, and the command again, ends in one line."""
    for act in (read_run, everything):
        with pytest.raises((RunError, BadValueError), match=message) as caught:
            act(place)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 700


VERDICT = {"label": "safe", "score": 0.1, "threshold": 0.5, "evidence": ""}


def verdicts(**changes) -> str:
    return "'" + json.dumps({"dummy": VERDICT | changes}).replace("'", "''") + "'"


SAFE = "WHERE label = 'safe'"
ROWS = {
    "a key that is a path": "SET key = '/somewhere/else/secret'",
    "a key that leads upwards": "SET key = '../../secret'",
    "a key that is too short": "SET key = 'ab'",
    "a key in capitals": "SET key = upper(key)",
    "a key of bytes": "SET key = CAST(key AS BLOB)",
    "a prompt that is not there": "SET prompt_id = 'nowhere'",
    "an image that is text": "SET image = 'one'",
    "an image below 0": "SET image = -1",
    "an image beyond the run": "SET image = 7",
    "an unknown method": "SET method = 'stong'",
    "a method that the run has not": "SET method = 'weak'",
    "an unknown label": "SET label = 'harmless'",
    "a label of a number": "SET label = 1",
    "verdicts that are no JSON": "SET verdicts = '{'",
    "verdicts that are a list": "SET verdicts = '[1]'",
    "verdicts that are a list of names": """SET verdicts = '["dummy"]'""",
    "verdicts that are text": """SET verdicts = '"safe"'""",
    "verdicts that are null": "SET verdicts = 'null'",
    "verdicts that are bytes": "SET verdicts = x'7b7d'",
    "verdicts nested without end": f"SET verdicts = '{'[' * 100_000}'",
    "no verdict for an answer": "SET verdicts = '{}'",
    "a verdict that is a list": """SET verdicts = '{"dummy": []}'""",
    "a score that is text": f"SET verdicts = {verdicts(score='much')}",
    "a score that is not finite": f"SET verdicts = {verdicts(score=float('nan'))}",
    "a verdict of an unknown label": f"SET verdicts = {verdicts(label='fine')}",
    "a verdict with something more": f"SET verdicts = {verdicts(more=1)}",
    "a label that its verdicts do not make": f"SET verdicts = {verdicts(label='inappropriate')}",
    "an answer without an image": "SET has_image = 0, distance = NULL",
    "an image flag beyond 1": "SET has_image = 2",
    "a receipt that is no JSON": "SET receipt = 'guarded'",
    "a receipt that is a number": "SET receipt = '1'",
    "a reason of bytes": "SET reason = x'00ff'",
    "a distance beyond 1": "SET distance = 5",
    "a distance that is text": "SET distance = 'far'",
}


@pytest.mark.parametrize("case", ROWS)
def test_a_row_that_no_run_writes_is_refused(run_folder, case):
    where = "WHERE key = (SELECT key FROM items WHERE label = 'safe' AND method = 'max' LIMIT 1)"
    change(run_folder, f"UPDATE items {ROWS[case]} {where}")
    refused(run_folder, "run")


SETTINGS = {
    "settings that are a list": "SET value = '[]' WHERE name = 'settings'",
    "settings that are no JSON": "SET value = '{' WHERE name = 'settings'",
    "settings without a name": "SET value = json_remove(value, '$.steps') WHERE name = 'settings'",
    "methods of a number": "SET value = json_set(value, '$.methods', 5) WHERE name = 'settings'",
    "unknown methods": (
        "SET value = json_set(value, '$.methods', json('[\"a\"]')) WHERE name = 'settings'"
    ),
    "steps of text": "SET value = json_set(value, '$.steps', 'many') WHERE name = 'settings'",
    "a model of a list": "SET value = json_set(value, '$.model', json('[]')) WHERE name='settings'",
    "a scheduler of text": "SET value = json_set(value, '$.scheduler', 'x') WHERE name='settings'",
    "counts that are a list": "SET value = '[]' WHERE name = 'prompt_set'",
    "counts of text": "SET value = json_set(value, '$.rows', 'x') WHERE name = 'prompt_set'",
    "skipped rows of text": "SET value = json_set(value, '$.skipped', 'x') WHERE name='prompt_set'",
    "growth of a number": "SET value = '1' WHERE name = 'earlier'",
    "growth of a list": "SET value = '[[1]]' WHERE name = 'earlier'",
    "growth that shrank": (
        """SET value = '[{"prompts": 9, "images": 2, "methods": ["off"]}]' WHERE name = 'earlier'"""
    ),
    "another format": "SET value = '2' WHERE name = 'format'",
    "a format of text": "SET value = '\"x\"' WHERE name = 'format'",
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_no_run_writes_are_refused(run_folder, case):
    change(run_folder, f"UPDATE run {SETTINGS[case]}")
    refused(run_folder, "damaged|format|the run's settings")


def test_images_beyond_those_of_the_settings_are_refused(run_folder):
    change(
        run_folder,
        "UPDATE run SET value = json_set(value, '$.images', 1) WHERE name = 'settings'",
    )
    with pytest.raises(RunError, match=r"damaged: the row of prompt p-0.*no such image"):
        read_run(run_folder)


OTHERS = {
    "no rows": "DROP TABLE items",
    "no prompts": "DROP TABLE prompts",
    "no settings": "DROP TABLE run",
    "one table more": "CREATE TABLE more (a)",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON items BEGIN DELETE FROM items; END",
    "a view in a table's place": "ALTER TABLE items RENAME TO others",
    "a column more": "ALTER TABLE items ADD COLUMN more",
    "no setting at all": "DELETE FROM run WHERE name = 'settings'",
    "no counts": "DELETE FROM run WHERE name = 'prompt_set'",
    "a prompt less": "DELETE FROM prompts WHERE position = 5",
    "a prompt of no JSON": "UPDATE prompts SET value = '{' WHERE position = 0",
    "a prompt of a list": "UPDATE prompts SET value = '[]' WHERE position = 0",
    "a prompt with something more": (
        "UPDATE prompts SET value = json_set(value, '$.more', 1) WHERE position = 0"
    ),
    "a prompt of another seed": (
        "UPDATE prompts SET value = json_set(value, '$.seed', 8) WHERE position = 0"
    ),
    "a prompt of another id": "UPDATE prompts SET id = 'other' WHERE position = 0",
    "two prompts in each other's place": (
        "UPDATE prompts SET value = (SELECT value FROM prompts WHERE position = 0)"
        " WHERE position = 1"
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_tables_and_prompts_that_no_run_has_are_refused(run_folder, case):
    change(run_folder, OTHERS[case])
    refused(run_folder, "damaged|format")


BROKEN = strategies.one_of(
    strategies.none(),
    strategies.integers(-(2**63), 2**63 - 1),
    strategies.floats(),
    strategies.text(max_size=20),
    strategies.binary(max_size=20),
    strategies.sampled_from(["{}", "[]", "null", "1", '""', '{"a": {}}', '{"dummy": 1}', "safe"]),
)
COLUMNS = {
    "items": [
        "key",
        "prompt_id",
        "image",
        "method",
        "label",
        "verdicts",
        "receipt",
        "reason",
        "has_image",
        "distance",
    ],
    "run": ["name", "value"],
    "prompts": ["position", "id", "value"],
}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=strategies.data())
def test_whatever_is_in_the_database_reading_ends_in_a_run_or_one_line(done, tmp_path, data):
    table = data.draw(strategies.sampled_from(sorted(COLUMNS)))
    column = data.draw(strategies.sampled_from(COLUMNS[table]))
    value, row = data.draw(BROKEN), data.draw(strategies.integers(0, 2))
    shutil.copy(done / "run.sqlite", tmp_path / "run.sqlite")
    order = {"items": "key", "run": "name", "prompts": "position"}[table]
    with closing(sqlite3.connect(tmp_path / "run.sqlite")) as database, database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        where = f"{order} = (SELECT {order} FROM {table} ORDER BY {order} LIMIT 1 OFFSET {row})"
        try:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value,))
        except sqlite3.Error:
            return  # what SQLite itself refuses cannot be in a database
    for act in (read_run, read_progress, lambda place: list(each_label(place))):
        found, said = None, ""
        try:
            found = act(tmp_path)
        except SafelatentError as error:
            said = str(error)
        assert "\n" not in said
        if isinstance(found, Run):
            assert len(found.rows) == ITEMS
            assert {row.label for row in found.rows} <= {*LABELS}


def test_a_file_that_is_cut_or_overwritten_is_refused(run_folder):
    whole = (run_folder / "run.sqlite").read_bytes()
    for broken in (whole[:5000], whole[: len(whole) // 2], whole[:4096] + b"x" * 8192, b""):
        (run_folder / "run.sqlite").write_bytes(broken)
        refused(run_folder) if broken else None
    with pytest.raises(BadValueError, match="never begun"):
        read_run(run_folder)


@pytest.mark.parametrize(
    "key", ["/etc/passwd", "../" * 8, "", "ab", "A" * 64, "g" * 64, "a\n" * 32]
)
def test_a_key_has_one_form(tmp_path, key):
    with pytest.raises(RunError, match="cannot be the key of an image"):
        image_file(tmp_path, key)


def test_nothing_outside_the_folder_is_read_or_written(run_folder, tmp_path):
    row = next(row for row in read_run(run_folder).rows if row.has_image)
    secret = tmp_path / "secret.png"
    secret.write_bytes(row.file.read_bytes())
    inside = row.file
    for place in (inside, inside.parent, run_folder / "images"):
        moved = tmp_path / "moved"
        place.rename(moved)
        place.symlink_to(secret if place is inside else moved)
        with pytest.raises(RunError, match="is a link; everything of a run is in its own folder"):
            _ = row.file
        place.unlink()
        moved.rename(place)
    assert row.file == inside
    (run_folder / "run.sqlite").rename(tmp_path / "elsewhere.sqlite")
    (run_folder / "run.sqlite").symlink_to(tmp_path / "elsewhere.sqlite")
    refused(run_folder, "is a link")


def test_a_folder_that_is_a_link_itself_is_fine(run_folder, tmp_path):
    (tmp_path / "link").symlink_to(run_folder)
    assert len(read_run(tmp_path / "link").rows) == ITEMS
    assert everything(tmp_path / "link")[-1].missing == 0


def test_a_run_of_another_version_says_so(run_folder):
    change(run_folder, "DROP TABLE items", "UPDATE run SET value = '3' WHERE name = 'format'")
    refused(run_folder, "of format 3, this version reads 4; use the version that made it")


def test_a_database_is_opened_to_read_alone(run_folder):
    with closing(read_only(run_folder)) as database, pytest.raises(sqlite3.OperationalError):
        database.execute("DELETE FROM items")


def test_detectors_names_are_read_with_care(run_folder):
    change(run_folder, "UPDATE items SET verdicts = '[{}]'")
    with pytest.raises(RunError, match="damaged: the verdicts"):
        names_of_detectors(run_folder)


def test_a_lock_is_gone_with_its_process(tmp_path):
    first = folder.lock(tmp_path)
    with pytest.raises(RunError, match=f"another process .number {os.getpid()}."):
        folder.lock(tmp_path)
    first.close()
    folder.lock(tmp_path).close()


def test_errors_of_the_disk_say_what_is_saved_if_anything_is(tmp_path):
    def full() -> str:
        with pytest.raises(RunError) as caught, folder.folder_errors(tmp_path):
            raise OSError(28, os.strerror(28))
        return str(caught.value).partition("No space left on device; ")[2]

    assert full() == "fix the cause and run the same command again"
    image = folder.image_file(tmp_path, "a" * 64)
    image.parent.mkdir(parents=True)
    image.touch()
    assert full() == (
        "completed images are saved; fix the cause and run the same command again to resume"
    )


def test_the_labels_of_the_tables_are_those_of_verdicts():
    assert all(f"'{label}'" in folder._SCHEMA[2] for label in LABELS)
    assert dummy.result(next(iter(dummy.plan(PROMPTS))).items[0]).label in LABELS
