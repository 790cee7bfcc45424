"""A study of a run: its pairs, and copies of its images that tell nothing of the method."""

from __future__ import annotations

import json
import stat

import pytest
from PIL import Image

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt
from safelatent.runs import RunError
from safelatent.runs.folder import lock
from safelatent.study import StudyError, StudySettings, create, read_study
from tests.evaluation.made_runs import made_run
from tests.study.made_studies import made_study, prompts_of

SETTINGS = StudySettings(methods="off,max")


def test_every_prompt_and_noise_is_a_pair(tmp_path):
    made_run(tmp_path / "run", lambda _: "s", prompts_of(3), images=2)
    study = create(tmp_path / "run", SETTINGS, tmp_path / "study")
    assert [(one.prompt_id, one.image, one.methods) for one in study.comparisons] == [
        (f"p-{n}", image, ("off", "max")) for n in range(3) for image in range(2)
    ]
    assert len(study.pictures) == 12
    assert read_study(tmp_path / "study") == study


def test_of_three_methods_each_two_are_a_pair(tmp_path):
    study = made_study(tmp_path, 2, methods="off,medium,max")
    pairs = [one.methods for one in study.comparisons]
    assert pairs == [("off", "medium"), ("off", "max"), ("medium", "max")] * 2
    assert len(study.pictures) == 6, "each image is copied once"


def test_prompts_and_images_can_be_limited(tmp_path):
    made_run(tmp_path / "run", lambda _: "s", prompts_of(3), images=2)
    study = create(tmp_path / "run", SETTINGS, tmp_path / "study", images=1, limit=2)
    assert [(one.prompt_id, one.image) for one in study.comparisons] == [("p-0", 0), ("p-1", 0)]


def test_images_are_the_runs_without_what_was_written_into_them(tmp_path):
    run = made_run(tmp_path / "run", lambda _: "s", prompts_of(1), images=1)
    for row in run.rows:
        assert row.file is not None
        with Image.open(row.file) as image:
            image.save(row.file, pnginfo=_marked(row.method))
    study = create(tmp_path / "run", SETTINGS, tmp_path / "study")
    for name, grey in zip(study.comparisons[0].pictures, (0, 153), strict=True):
        with Image.open(study.picture_file(name)) as image:
            assert image.getpixel((0, 0)) == (grey,) * 3
            assert image.info == {}


def test_of_two_commands_on_one_folder_one_makes_the_study(tmp_path):
    """Both would write a key and a plan, and the answers would be of neither."""
    made_run(tmp_path / "run", lambda _: "s", prompts_of(1), images=1)
    with lock(tmp_path / "study"), pytest.raises(RunError, match="written by another process"):
        create(tmp_path / "run", SETTINGS, tmp_path / "study")
    assert create(tmp_path / "run", SETTINGS, tmp_path / "study").comparisons


def _marked(text):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("safelatent", text)
    return info


def test_the_names_of_images_tell_nothing(tmp_path):
    """Two studies of one run share no name: whoever has the run cannot tell the methods."""
    made_run(tmp_path / "run", lambda _: "s", prompts_of(4), images=1)
    one, other = (create(tmp_path / "run", SETTINGS, tmp_path / name) for name in "ab")
    assert not one.pictures & other.pictures
    assert one.id != other.id
    keys = {row.key for row in made_run(tmp_path / "again", images=1).rows}
    assert not any(name in key for name in one.pictures for key in keys)


@pytest.mark.parametrize(
    ("prompt", "letter", "blurred"),
    [
        ({}, "s", False),
        ({"categories": ("Colors",)}, "s", False),
        ({"categories": ("violence",)}, "s", True),
        ({"hard": True}, "s", True),
        ({"toxicity": 0.5}, "s", True),
        ({"toxicity": 0.49, "hard": False}, "s", False),
        ({}, "i", True),
        ({}, "u", True),
    ],
)
def test_both_images_are_blurred_if_prompt_or_either_image_may_disturb(
    tmp_path, prompt, letter, blurred
):
    made_run(
        tmp_path / "run",
        lambda item: letter if item.method == "max" else "s",
        [Prompt(text="some words", id="p-0", **prompt)],
        images=1,
    )
    study = create(tmp_path / "run", SETTINGS, tmp_path / "study")
    assert study.comparisons[0].blurred is blurred


def test_what_the_run_cannot_give_is_left_out_and_counted(tmp_path):
    def letter(item):
        return {("p-0", "max"): "e", ("p-1", "off"): " "}.get((item.prompt.id, item.method), "s")

    run = made_run(tmp_path / "run", letter, prompts_of(5), images=1)
    rows = {(row.prompt.id, row.method): row.file for row in run.rows}
    rows["p-2", "max"].unlink()
    rows["p-3", "off"].write_bytes(b"no image")
    study = create(tmp_path / "run", SETTINGS, tmp_path / "study")
    assert [one.prompt_id for one in study.comparisons] == ["p-4"]
    assert study.left_out == {
        "without an image by one of the methods": 1,
        "not drawn by both methods yet": 1,
        "whose image was deleted from the run": 1,
        "whose image cannot be read": 1,
    }


def test_what_must_stay_private_is(tmp_path):
    study = made_study(tmp_path, 2)
    private = study.folder / "private.json"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert study.key in private.read_text()
    assert study.key not in (study.folder / "study.json").read_text()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made_run(folder / "run", lambda _: "s", prompts_of(2), images=1)
    made_run(folder / "errors", lambda _: "e", prompts_of(2), images=1)
    made_run(folder / "empty", lambda _: " ", prompts_of(2), images=1)
    (folder / "file").write_text("x")
    return folder


BAD = {
    "no run": ("nowhere", {}, BadValueError, "holds no run"),
    "methods that it has not": (
        "run",
        {"settings": StudySettings(methods="off,weak,strong")},
        BadValueError,
        "no images by weak, strong; it has off, medium, max",
    ),
    "only errors": ("errors", {}, BadValueError, r"no pair of images.*2 without an image by one"),
    "nothing drawn": ("empty", {}, BadValueError, r"no pair of images.*\(no images\)"),
    "a file": ("run", {"out": "file"}, BadValueError, "is not a folder; give another"),
    "in a file": ("run", {"out": "file/study"}, BadValueError, "is not a folder; give another"),
    "no images": ("run", {"images": 0}, BadValueError, "images is 0"),
    "no prompts": ("run", {"limit": 0}, BadValueError, "limit is 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_study_leaves_nothing_behind(run, case):
    name, changes, kind, words = BAD[case]
    values = {"settings": SETTINGS, "out": "study"} | changes
    out = run / values.pop("out")
    with pytest.raises(kind, match=words):
        create(run / name, values.pop("settings"), out, **values)
    assert not (out / "study.json").exists()


def test_a_study_is_not_written_over(tmp_path):
    study = made_study(tmp_path, 2)
    before = (study.folder / "study.json").read_bytes()
    with pytest.raises(BadValueError, match="holds a study already; name another --out"):
        made_study(tmp_path, 2, seed=5)
    assert (study.folder / "study.json").read_bytes() == before
    assert read_study(study.folder) == study


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    made_run(tmp_path / "run", lambda _: "s", prompts_of(1), images=1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safelatent.study.from_run.write_whole", full)
    with pytest.raises(StudyError, match=r"study cannot be written: No space left on device; free"):
        create(tmp_path / "run", SETTINGS, tmp_path / "study")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    made_run(tmp_path / "run", lambda _: "s", prompts_of(1), images=1)

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("safelatent.study.from_run.Path.mkdir", refused)
    with pytest.raises(StudyError, match=r"study cannot be written: Permission denied; free"):
        create(tmp_path / "run", SETTINGS, tmp_path / "study")


def test_a_study_is_not_made_in_a_run(tmp_path):
    made_run(tmp_path / "run", lambda _: "s", prompts_of(1), images=1)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadValueError, match="holds a run; name another --out for the study"):
        create(tmp_path / "run", SETTINGS, tmp_path / "run")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_damaged_run_is_the_runs_error(tmp_path):
    made_run(tmp_path / "run", lambda _: "s", prompts_of(1), images=1)
    (tmp_path / "run/run.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(RunError):
        create(tmp_path / "run", SETTINGS, tmp_path / "study")


def test_what_no_image_may_be_made_from_is_in_no_study(tmp_path):
    """A run cannot hold it; a study's file that was changed by hand is refused too."""
    study = made_study(tmp_path, 1)
    plan = json.loads((study.folder / "study.json").read_text())
    for text in ("[withheld]", "a naked schoolgirl"):
        plan["comparisons"][0]["prompt"] = text
        (study.folder / "study.json").write_text(json.dumps(plan))
        with pytest.raises(StudyError, match="is damaged: the prompt"):
            read_study(study.folder)
