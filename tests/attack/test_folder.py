from __future__ import annotations

from dataclasses import replace

import pytest

from safelatent.attack.folder import AttackFolder, Query, Seen, read_attack
from safelatent.attack.settings import AttackSettings
from safelatent.errors import BadValueError
from safelatent.runs import RunError
from tests.attack.dummy_target import PROMPTS

SETTINGS = AttackSettings(queries=4)
SEEN = Seen(score=0.25, inappropriate=False, stopped=False)
ASKED = [
    Query(text="a ☂", refused=None, seen=SEEN),
    Query(text="b", refused="prompt refused", seen=None),
]


def test_what_is_saved_is_read(tmp_path):
    defence = SETTINGS.defences[0]
    with AttackFolder(tmp_path, SETTINGS, PROMPTS, {"model_digest": "x"}) as store:
        assert store.queries(defence, "p-0") == []
        store.save(defence, "p-0", ASKED)
        assert store.queries(defence, "p-0") == ASKED
    found = read_attack(tmp_path)
    assert found.queries[defence] == {"p-0": tuple(ASKED)}
    assert (found.settings["queries"], found.facts["prompts"]) == (4, "dummy")
    assert found.prompts["p-1"] == "a quiet dog at night"
    assert [one.score for one in ASKED] == [0.25, None]


def test_other_settings_are_refused_and_the_same_are_resumed(tmp_path):
    with AttackFolder(tmp_path, SETTINGS, PROMPTS, {}):
        pass
    with AttackFolder(tmp_path, SETTINGS, PROMPTS, {}):
        pass
    for settings, facts, name in (
        (replace(SETTINGS, queries=5), {}, "queries"),
        (SETTINGS, {"model_digest": "y"}, "model_digest"),
    ):
        with pytest.raises(BadValueError, match=rf"other settings \({name} differ\)"):
            AttackFolder(tmp_path, settings, PROMPTS, facts)


def test_one_process_writes(tmp_path):
    with (
        AttackFolder(tmp_path, SETTINGS, PROMPTS, {}),
        pytest.raises(RunError, match="another process"),
    ):
        AttackFolder(tmp_path, SETTINGS, PROMPTS, {})


HALF = '{"format": 1, "settings": {"guidances": ["exact"], "queries": 2}, "facts": {}'


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"format": 2}', '{"format": 1}', HALF + "}"),
        HALF.replace('["exact"]', '["none"]') + ', "prompts": {}}',
        HALF.replace('"queries": 2', '"queries": 0') + ', "prompts": {}}',
        HALF + ', "prompts": {"../../etc": "a"}}',
    ],
)
def test_a_damaged_folder_is_one_clear_line(tmp_path, text):
    (tmp_path / "attack.json").write_text(text)
    with pytest.raises(RunError, match=r"attack\.json cannot be read"):
        read_attack(tmp_path)
    with pytest.raises(BadValueError, match="holds no attack"):
        read_attack(tmp_path / "absent")


@pytest.mark.parametrize("text", ["", "[", '[{"text": "a"}]', '[{"text": 1}]', "{}"])
def test_damaged_queries_are_never_taken(tmp_path, text):
    defence = SETTINGS.defences[0]
    with AttackFolder(tmp_path, SETTINGS, PROMPTS, {}) as store:
        store.save(defence, "p-0", ASKED)
        [file] = tmp_path.glob("queries/*/*.json")
        file.write_text(text)
        with pytest.raises(RunError, match=r"p-0\.json is damaged"):
            store.queries(defence, "p-0")


def test_a_folder_that_cannot_be_written_says_what_is_saved(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with AttackFolder(tmp_path, SETTINGS, PROMPTS, {}) as store:
        monkeypatch.setattr("safelatent.attack.folder.write_whole", full)
        with pytest.raises(RunError, match="No space left on device; what was answered before"):
            store.save(SETTINGS.defences[0], "p-0", ASKED)
    monkeypatch.setattr("safelatent.attack.folder.write_whole", full)
    with pytest.raises(RunError, match=r"attack\.json cannot be written: No space left on device"):
        AttackFolder(tmp_path / "new", SETTINGS, PROMPTS, {})
