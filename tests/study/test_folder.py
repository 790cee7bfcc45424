"""A study's folder, checked when it is read."""

from __future__ import annotations

import json

import pytest

from safelatent.errors import BadValueError
from safelatent.study import StudyError, read_study
from safelatent.study.folder import write_study
from tests.study.made_studies import made_study


@pytest.fixture
def study(tmp_path):
    return made_study(tmp_path, 3)


def test_what_is_written_is_read(study):
    assert read_study(study.folder) == study
    assert read_study(str(study.folder)).id == study.id
    assert study.session(2) == read_study(study.folder).session(2)


def test_a_folder_without_a_study_is_no_study(tmp_path):
    with pytest.raises(BadValueError, match=r"holds no study \(no study.json\); give the --out"):
        read_study(tmp_path)


def changed(study, file, change) -> None:
    values = json.loads((study.folder / file).read_text())
    change(values)
    (study.folder / file).write_text(json.dumps(values))


DAMAGE = {
    "format": ("study.json", lambda v: v.update(format=7), "of format 7, this version reads 1"),
    "no settings": ("study.json", lambda v: v.pop("settings"), "damaged: KeyError: 'settings'"),
    "a new setting": ("study.json", lambda v: v["settings"].update(x=1), "damaged: TypeError"),
    "bad setting": ("study.json", lambda v: v["settings"].update(pairs=0), "pairs is 0"),
    "no pairs": ("study.json", lambda v: v.update(comparisons=[]), "it has no pairs"),
    "a path for a picture": (
        "study.json",
        lambda v: v["comparisons"][0].update(pictures=["../../secret", "0" * 32]),
        "a picture's name is not one",
    ),
    "another method": (
        "study.json",
        lambda v: v["comparisons"][0].update(methods=["off", "weak"]),
        r"methods that it does not compare: \['weak'\]",
    ),
    "a list": ("study.json", lambda v: v.update(settings=[]), "damaged: TypeError"),
    "short key": ("private.json", lambda v: v.update(key="a"), "the key in private.json"),
    "no key": ("private.json", lambda v: v.update(key=None), "damaged: TypeError"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line(study, case):
    file, change, words = DAMAGE[case]
    changed(study, file, change)
    with pytest.raises((BadValueError, StudyError), match=words) as caught:
        read_study(study.folder)
    assert "\n" not in str(caught.value)


def test_what_is_no_json_is_damage(study):
    (study.folder / "study.json").write_bytes(b"\xff\xfe")
    with pytest.raises(StudyError, match="is damaged"):
        read_study(study.folder)


def test_a_private_file_that_is_gone_is_named(study):
    (study.folder / "private.json").unlink()
    with pytest.raises(StudyError, match=r"private.json cannot be read: .*restore it from a copy"):
        read_study(study.folder)


def test_a_folder_that_cannot_be_written_is_one_line(study, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safelatent.study.folder.write_whole", full)
    with pytest.raises(StudyError, match="cannot be written: No space left on device"):
        write_study(study)
