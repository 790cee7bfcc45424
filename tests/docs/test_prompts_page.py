"""docs/prompts.md cannot drift: its names, reasons and numbers are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from safelatent.prompts import (
    NAMES,
    coco,
    embedded_benign,
    embedded_i2p,
    embedded_i2p_train,
    i2p,
    i2p_facts,
    prompt_set,
    refused,
    table,
)
from safelatent.prompts.files import read
from safelatent.prompts.prompt import MAX_SIDE, MAX_TEXT

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared/data"
PAGE = (ROOT / "docs/prompts.md").read_text(encoding="utf-8")
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the data is not beside the repository")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def cells(title: str) -> list[list[str]]:
    rows = [row.strip("|").split("|") for row in section(title).splitlines() if row.startswith("|")]
    return [
        [cell.strip().strip("`") for cell in row] for row in rows if not set(row[0]) <= set("- ")
    ][1:]


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_names_are_the_codes():
    assert [row[0] for row in cells("The sets")] == [*NAMES[:4], "table`, or a path", *NAMES[5:]]


def test_the_reasons_are_the_codes(tmp_path):
    path = tmp_path / "a.jsonl"
    row = '{"prompt": "%s", "id": "%s", "w": %s, "side": %s}\n'
    texts = [
        "",
        "[withheld]",
        "a nude minor",
        "x" * (MAX_TEXT + 1),
        r"a\u0000",
        "a cat",
        "a cat",
        "a cat",
        "a cat",
        "a cat",
    ]
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


@needs_data
def test_the_facts_are_the_files():
    facts, rows = i2p_facts(DATA / "i2p.csv"), {row[0]: row[1] for row in cells("Facts about I2P")}
    assert rows["rows"] == f"{facts.rows:,}"
    assert {label: int(rows[label]) for label in facts.categories} == facts.categories
    assert (
        next(value for name, value in rows.items() if name.startswith("hard")) == f"{facts.hard:,}"
    )
    assert (
        rows["toxicity of at least 0.5"]
        == f"{100 * facts.toxic:.2f} % ({round(facts.toxic * facts.rows)} rows)"
    )
    assert rows["mean published percentage"] == f"{facts.published:.1f}"
    labels = [len(row.labels("categories")) for row in read(DATA / "i2p.csv").rows]
    one, two, three, four = (labels.count(n) for n in (1, 2, 3, 4))
    assert f"{one:,} rows have one, {two} two, {three} three and {four} four" in flat(PAGE)


@needs_data
def test_what_is_skipped_is_what_the_page_says():
    prompts = i2p(DATA / "i2p.csv")
    said = re.search(
        r"Of the ([\d,]+) rows .*?, ([\d,]+) give a prompt\. Skipped: (.*?)\.", flat(PAGE)
    )
    assert said is not None
    assert (said[1], said[2]) == (f"{prompts.rows:,}", f"{len(prompts):,}")
    assert said[3] == ", ".join(f"{count} `{reason}`" for reason, count in prompts.skipped.items())
    refusals = prompts.skipped["minors with sexual content"]
    assert f"On I2P it refuses {refusals} rows beyond the withheld ones" in flat(PAGE)
    captions = coco(DATA / "coco_30k.csv")
    assert (
        f"Of {captions.rows:,} COCO captions it refuses {captions.skipped['minors with sexual content']},"
        in flat(PAGE)
    )


def test_what_the_rule_cannot_do_is_what_the_page_says():
    assert not refused("nudechild"), "the page says that it does not see this"
    for word in ("girl", "boy", "young", "baby", "school", "son", "daughter"):
        for other in ("bikini", "intimate", "underwear"):
            assert f"*{word}*" in PAGE
            assert f"*{other}*" in PAGE
            assert refused(f"{word} and {other}")
