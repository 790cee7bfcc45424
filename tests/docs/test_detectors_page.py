"""docs/detectors.md says what the code does: its snippets run, its hashes, labels and thresholds
are the code's.
"""

from __future__ import annotations

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from safelatent.detectors import DETECTORS, PAPER_LABELS, PROTOCOLS, SCRIPT_LABELS
from safelatent.detectors.clip_q16 import OPENAI_CLIP, OPENAI_COMMIT, PUBLISHED
from safelatent.detectors.contract import LABELS
from safelatent.detectors.images import FORMATS, SUFFIXES
from safelatent.detectors.nude import LOWEST, VERSION

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/detectors.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.skipif(find_spec("nudenet") is None, reason="nudenet is an extra")
@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_the_snippets_run(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(SNIPPETS[number], f"detectors.md, snippet {number}", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_labels_stand_in_their_order():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.split("## What each sees")[0], flags=re.MULTILINE)
    assert tuple(rows) == LABELS


def test_every_detector_and_every_protocol_has_its_row():
    table = PAGE.split("## What each sees")[1].split("**Q16**")[0]
    first = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)\(", " ".join(first))) == set(DETECTORS)
    rows = re.findall(r"^\| `([\w-]+)` \|", PAGE.split("## Protocols")[1], flags=re.MULTILINE)
    assert rows == list(PROTOCOLS)


def test_what_is_pinned_is_the_codes():
    assert dict(re.findall(r"^\| ViT-(\S+) \| `(\w{64})` \|$", PAGE, flags=re.MULTILINE)) == {
        clip.removeprefix("ViT-"): sha256 for sha256, clip in PUBLISHED.items()
    }
    for text in (OPENAI_CLIP, OPENAI_COMMIT, f"version {VERSION}", f"below {LOWEST}"):
        assert text in " ".join(PAGE.split())


def test_the_label_sets_are_the_codes():
    rows = {
        name: line
        for name in PROTOCOLS
        for line in PAGE.splitlines()
        if line.startswith(f"| `{name}` |")
    }
    paper = set(re.findall(r"`(\w+_EXPOSED)`", rows["i2p-paper"]))
    assert paper == set(PAPER_LABELS)
    assert paper | set(re.findall(r"`(\w+_EXPOSED)`", rows["i2p-authors-script"])) == set(
        SCRIPT_LABELS
    )


def test_the_formats_are_the_codes():
    listed = re.search(r"`open_image` takes ([\w, \n]+?) and gives", PAGE)
    assert listed is not None
    assert tuple(re.findall(r"[A-Z]\w+", listed[1].upper().replace("AND", ","))) == FORMATS


def test_the_suffixes_are_the_codes():
    listed = re.search(r"for names that end in (.*?);", " ".join(PAGE.split()))
    assert listed is not None
    assert tuple(re.findall(r"`(\.\w+)`", listed[1])) == SUFFIXES


def test_the_version_that_is_installed_is_the_one_that_is_not_refused():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["optional-dependencies"]["nudenet"] == [f"nudenet=={VERSION}"]
