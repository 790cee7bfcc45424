"""Documentation cannot drift: its code runs, its tables are the code's, its pages are generated."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

import safelatent
from benchmarks import plans_page, speed_page
from safelatent.cli import app
from safelatent.guidance import PRESETS, sld

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.usefixtures("draws_little")
@pytest.mark.parametrize(
    "example",
    # The other one is run by its own test, which also looks at what it draws.
    sorted({*(ROOT / "examples").glob("*.py")} - {ROOT / "examples/own_concept.py"}),
    ids=lambda path: path.stem,
)
def test_the_examples_run(example, tmp_path, monkeypatch, capsys):
    """As they stand, by as few steps and pictures as their safeties allow."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out.strip()


def test_the_command_line_page_is_the_command_lines_own():
    page = runpy.run_path(str(ROOT / "docs/command_line.py"))["page"]()
    stored = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
    assert stored == page, "run python docs/command_line.py"


def test_the_command_line_page_has_every_command():
    page = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
    groups = [group.typer_instance for group in app.registered_groups]
    registered = sum(len(one.registered_commands) for one in (app, *groups) if one)
    assert page.count("\n## safelatent ") == registered
    assert "\n## safelatent attack\n" in page


def test_the_methods_lines_are_the_codes():
    source = Path(sld.__file__).read_text(encoding="utf-8")
    text = (ROOT / "docs/method.md").read_text(encoding="utf-8")
    lines = [
        row.split("|")[-2].strip().strip("`")
        for row in text.splitlines()
        if row.startswith("| Eq.")
    ]
    assert len(lines) == 5
    for line in lines:
        assert line in source, f"{line!r} stands in docs/method.md and not in sld.py"


def test_the_methods_settings_are_the_presets():
    text = (ROOT / "docs/method.md").read_text(encoding="utf-8")
    for name in ("warmup", "scale", "threshold", "momentum", "decay"):
        row = next(row for row in text.splitlines() if row.startswith(f"| `{name}`"))
        values = [float(cell) for cell in row.split("|")[3:7]]
        assert values == [getattr(preset, name) for preset in PRESETS.values()]


def test_the_changelogs_newest_version_is_the_packages():
    newest = re.search(
        r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert newest is not None
    assert newest[1] == safelatent.__version__


def test_links_between_pages_lead_somewhere():
    for page in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "src").rglob("CARD.md"),
    ]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (
                f"{page.name} links to {target}, which is not there"
            )


def test_the_walks_name_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:[\w.]+/)*[\w.]+(?:\.py|/))`", text)
    assert len(named) > 20
    for place in named:
        assert any((ROOT / at / place).exists() for at in (".", "src/safelatent")), place


def test_the_page_of_speed_is_made_from_its_figures():
    found = json.loads((ROOT / "docs/speed.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs/speed.md").read_text(encoding="utf-8") == speed_page.page(found)
    assert {"speed", "throughput"} <= set(found)


def test_the_page_and_the_picture_of_plans_are_made_from_their_figures():
    found = json.loads(plans_page.JSON.read_text(encoding="utf-8"))
    assert plans_page.PAGE.read_text(encoding="utf-8") == plans_page.page(found)
    assert plans_page.PICTURE.read_bytes() == plans_page.picture(found["rows"])
