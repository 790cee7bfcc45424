"""The README cannot drift: its snippets run, its tree is the tree, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from safelatent import DEFAULT_CONCEPT
from safelatent.generation.methods import METHODS
from safelatent.policy import Policy

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# A snippet that needs a download and a GPU is marked ``no-run``; it must still be valid Python.
SNIPPETS = re.findall(r"```python( no-run)?\n(.*?)```", README, flags=re.DOTALL)
HERE = "https://github.com/safelatent/safelatent/blob/main/"
RAW = "https://raw.githubusercontent.com/safelatent/safelatent/main/"


def test_the_snippet_that_is_not_run_is_one():
    assert [bool(marked) for marked, _ in SNIPPETS] == [True, False, False]
    compile(SNIPPETS[0][1], "README.md", "exec")


@pytest.mark.slow
@pytest.mark.usefixtures("draws_little")
@pytest.mark.parametrize("number", [1, 2])
def test_the_snippets_run(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(SNIPPETS[number][1], f"README.md, snippet {number}", "exec"), {})


def tree() -> set[str]:
    """Every path of the README's tree, whole."""
    block = re.search(r"```\n(src/safelatent/\n.*?)```", README, flags=re.DOTALL)
    assert block is not None
    found, above = set[str](), ""
    for line in block[1].splitlines():
        name = line.split()[0]
        above = "" if not line.startswith(" ") else above
        found.add(above + name)
        above = name if not line.startswith(" ") and name == "src/safelatent/" else above
    return found


def existing() -> set[str]:
    """The folders at the top of the repository, and everything directly in the package."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    top = {f"{path.split('/')[0]}/" for path in listed if "/" in path} - {".ci/", ".github/"}
    inside = [p.removeprefix("src/safelatent/") for p in listed if p.startswith("src/safelatent/")]
    rooms = {f"{path.split('/')[0]}/" if "/" in path else path for path in inside}
    rooms -= {"__init__.py", "__main__.py", "py.typed"}
    return (top - {"src/"}) | {"src/safelatent/"} | {f"src/safelatent/{room}" for room in rooms}


def test_the_tree_lists_every_room_and_no_other():
    assert tree() == existing()


def test_every_link_is_absolute_and_leads_to_a_file():
    for address in re.findall(r"\]\(([^)\s]+)\)", README):
        assert address.startswith("https://"), f"{address} would break on the package index"
        for prefix in (HERE, RAW):
            if address.startswith(prefix):
                assert (ROOT / address.removeprefix(prefix)).exists(), address


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("safelatent")]


def parse(words: list[str]) -> None:
    """Parse a command line as far as its options, without running anything."""
    import typer

    from safelatent.cli import app

    command, words = typer.main.get_command(app), list(words)
    context = typer.Context(command, info_name="safelatent")
    while hasattr(command, "commands"):
        command = command.get_command(context, words.pop(0))
        assert command is not None
    command.make_context("", words)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_options_that_exist(words):
    parse(words)


def test_an_option_that_does_not_exist_would_fail():
    with pytest.raises(Exception, match="No such option: --no-such-option"):
        parse(["generate", "a cat", "--no-such-option"])


def test_a_judge_of_real_pictures_gets_its_vectors():
    """The default protocol of any CLIP but the embedded one needs them."""
    (words,) = [words for words in commands() if words[:2] == ["audit", "data"]]
    assert words[words.index("--features") + 1] != "embedded"
    assert "--vectors" in words


def test_what_it_says_of_compare_and_of_the_card_is_so():
    assert len(METHODS) == 6
    assert "--compare                   # the paper's six methods from the same noise" in README
    contract = Policy.read(ROOT / "examples/policies/child.toml")
    assert contract.concept != DEFAULT_CONCEPT, "with which runs/quick is drawn"
    assert "as measured; this run falls short: it has another concept" in README


def test_from_the_readme_to_equation_3_it_is_two_hops():
    """README -> guidance/sld.py, where Eq. 4 to 8 stand, and where Eq. 3 is said to be."""
    assert f"]({HERE}src/safelatent/guidance/sld.py)" in README
    source = (ROOT / "src/safelatent/guidance/sld.py").read_text(encoding="utf-8")
    assert all(f"Eq. {number}" in source for number in (3, 5, 6, 8))
