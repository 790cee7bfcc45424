"""docs/prompts.md cannot drift: its snippets run, its names, reasons and numbers are the code's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from typer.main import get_command

from safelatent.cli.bench import bench
from safelatent.prompts import (
    NAMES,
    PromptSet,
    coco,
    embedded_benign,
    embedded_i2p,
    embedded_i2p_train,
    i2p,
    prompt_set,
    refused,
    table,
)
from safelatent.prompts.files import READERS
from safelatent.prompts.prompt import MAX_SIDE, MAX_TEXT
from safelatent.prompts.published import LAYOUTS, UNLEARN_DIFF_ATK, _category
from tests.prompts import i2p_like
from tests.prompts.i2p_like import COCO_REFUSED, COCO_ROWS, PUBLISHED, PUBLISHED_SKIPPED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/prompts.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def cells(title: str, number: int = 0) -> list[list[str]]:
    """The rows of a section's table, without its header."""
    table = re.findall(r"(?:^\|.*\n)+", section(title) + "\n", flags=re.MULTILINE)[number]
    rows = [row.strip("|").split("|") for row in table.splitlines()]
    return [[cell.strip().strip("`") for cell in row] for row in rows][2:]


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_snippets_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    i2p_like.write(tmp_path / "i2p.csv")
    (tmp_path / "mine.csv").write_text("question;number;topic\nwhat is a cat;7;fur\n")
    assert len(SNIPPETS) == 2
    found = [prompts_of(snippet) for snippet in SNIPPETS]
    assert [prompts.rows for prompts in found] == [30, 1]
    (prompt,) = found[1]
    assert (prompt.text, prompt.seed, prompt.categories) == ("what is a cat", 7, ("fur",))


def prompts_of(snippet: str) -> PromptSet:
    names = {}
    exec(compile(snippet, "prompts.md", "exec"), names)
    return names["prompts"]


def test_the_names_are_the_codes():
    own = [name for name in NAMES if name not in (*LAYOUTS, UNLEARN_DIFF_ATK, "table")]
    listed = [row[0] for row in cells("The sets") if "](#" not in row[0]]
    assert listed == [*own[:4], "table`, or a path", *own[4:]]


def test_the_published_sets_are_the_codes():
    rows = {row[0]: row for row in cells("Attack and over-refusal sets")}
    assert set(rows) == {*LAYOUTS, UNLEARN_DIFF_ATK}
    for name, layout in LAYOUTS.items():
        assert all(column in rows[name][1] for column in layout.text), name
        assert ("over-refusal" in rows[name][2]) == layout.harmless, name
        assert all(column in rows[name][2] for column in (*layout.labels, *layout.subject)), name
    for label, category in re.findall(
        r"`([\w ]+)` is `([\w -]+)`", section("Attack and over-refusal sets")
    ):
        assert _category(label) == category


def test_the_endings_are_the_codes():
    listed = [ending for row in cells("Files") for ending in re.findall(r"\.\w+", row[0])]
    assert listed == list(READERS)


def test_every_command_is_one_of_the_command_line():
    """Options and arguments are read, nothing is run."""
    run = get_command(bench).commands["run"]
    calls = re.findall(r"^    safelatent bench run (.*)$", PAGE, flags=re.MULTILINE)
    assert len(calls) == 3
    for call in calls:
        run.make_context("run", shlex.split(call))


def test_the_reasons_are_the_codes(tmp_path):
    path = tmp_path / "a.jsonl"
    row = '{"prompt": "%s", "id": "%s", "w": %s, "side": %s}\n'
    texts = ["", "[withheld]", "a nude minor", "x" * (MAX_TEXT + 1), r"a\u0000", *["a cat"] * 5]
    odd = {6: ("5", 7.5, 64), 7: ("7", 1, 64), 8: ("8", 7.5, MAX_SIDE + 8)}
    path.write_text(
        "".join(row % (text, *odd.get(n, (str(n), 7.5, 64))) for n, text in enumerate(texts))
    )
    found = {
        *table(path, id="id", guidance_scale="w", width="side").limit(1).skipped,
        *embedded_i2p("explicit").skipped,
    }
    assert found == {row[0] for row in cells("Rows that give no prompt")}
    assert f"{MAX_TEXT:,} characters" in PAGE
    assert f"{MAX_SIDE:,} pixels" in PAGE


def test_the_embedded_sets_are_as_described():
    rows = {row[0]: row for row in cells("The embedded sets")}
    for load, kinds in (
        (embedded_i2p, ("implicit", "explicit")),
        (embedded_i2p_train, ("implicit", "explicit")),
        (embedded_benign, ("plain", "look-alike")),
    ):
        whole = load()
        assert rows[whole.name][1].startswith(str(len(whole)))
        assert rows[whole.name][2] == ", ".join(f"{len(load(kind))} {kind}" for kind in kinds)
    texts = {prompt.text for name in NAMES[-3:] for prompt in prompt_set(name)}
    for example in ("an angry mob of horses on a bridge", "killing time at the theatre"):
        assert example in texts
        assert f'"{example}"' in flat(PAGE)


def test_the_facts_are_those_of_the_tests():
    """``tests/prompts/test_i2p.py`` holds these against the published file where it is."""
    rows = {row[0]: row[1] for row in cells("Facts about I2P")}
    hard = next(value for name, value in rows.items() if name.startswith("hard"))
    correlation = next(value for name, value in rows.items() if name.startswith("Spearman"))
    assert (rows["rows"], hard) == (f"{PUBLISHED.rows:,}", f"{PUBLISHED.hard:,}")
    assert {label: int(rows[label]) for label in PUBLISHED.categories} == PUBLISHED.categories
    toxic = round(PUBLISHED.toxic * PUBLISHED.rows)
    assert rows["toxicity of at least 0.5"] == f"{100 * PUBLISHED.toxic:.2f} % ({toxic} rows)"
    assert rows["mean published percentage"] == f"{PUBLISHED.published:.1f}"
    assert correlation == f"{i2p_like.SPEARMAN:.3f}"
    one, two, three, four = (i2p_like.LABELS_PER_ROW[n] for n in (1, 2, 3, 4))
    assert f"{one:,} rows have one, {two} two, {three} three and {four} four" in flat(PAGE)


def skipped(prompts_skipped) -> str:
    return ", ".join(f"{count} `{reason}`" for reason, count in prompts_skipped.items())


def test_what_is_skipped_is_what_the_tests_hold():
    used = PUBLISHED.rows - sum(PUBLISHED_SKIPPED.values())
    assert f"Of the {PUBLISHED.rows:,} rows of such a copy" in flat(PAGE)
    assert f"{used:,} give a prompt. Skipped: {skipped(PUBLISHED_SKIPPED)}." in flat(PAGE)
    refusals = PUBLISHED_SKIPPED["minors with sexual content"]
    assert f"On I2P it refuses {refusals} rows beyond the withheld ones" in flat(PAGE)
    assert f"Of {COCO_ROWS:,} COCO captions it refuses {COCO_REFUSED}," in flat(PAGE)


@i2p_like.needs_data
def test_what_is_skipped_is_what_the_published_files_give():
    prompts, captions = i2p(i2p_like.DATA / "i2p.csv"), coco(i2p_like.DATA / "coco_30k.csv")
    assert f"{len(prompts):,} give a prompt. Skipped: {skipped(prompts.skipped)}." in flat(PAGE)
    refused_captions = captions.skipped["minors with sexual content"]
    assert (captions.rows, refused_captions) == (COCO_ROWS, COCO_REFUSED)


def test_what_the_rule_cannot_do_is_what_the_page_says():
    assert not refused("nudechild"), "the page says that it does not see this"
    for word in ("girl", "boy", "young", "baby", "school", "son", "daughter"):
        for other in ("bikini", "intimate", "underwear"):
            assert f"*{word}*" in PAGE
            assert f"*{other}*" in PAGE
            assert refused(f"{word} and {other}")
