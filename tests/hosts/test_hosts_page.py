"""The page on hosts: its tables are what ran. ``PYTHONPATH=tests python tests/hosts/test_hosts_page.py`` writes them anew."""

from __future__ import annotations

import sys
from pathlib import Path

import every_pipeline
import pytest
from every_pipeline import CASES, REFUSALS, STEPS

from safelatent import SafelatentError, guard
from safelatent.hosts import FAMILIES

PAGE = Path(__file__).parents[2] / "docs/hosts.md"
BEGIN, END = "<!-- {}: made by python tests/hosts/test_hosts_page.py -->", "<!-- end of {} -->"


def supported_row(case: every_pipeline.Case) -> str:
    """Runs the case."""
    pipe = case.pipeline()
    safe = guard(pipe, "max")
    receipt = safe(**case.arguments()).receipts[0]
    denoiser = type(getattr(pipe, safe.family.denoiser)).__name__
    order = "one after the other" if safe.family.sequential else "in one batch"
    guarded = f"{receipt.guided_steps} of {receipt.steps}"
    return f"| {safe.family.title} | `{case.name}` | `{denoiser}`, {order} | `{type(pipe.scheduler).__name__}` | {guarded} |"


def refused_row(refusal: every_pipeline.Refusal) -> str:
    """Tries it."""
    with pytest.raises(SafelatentError) as caught:
        refusal.do()
    said = str(caught.value).split("; supported:")[0]
    return f"| {refusal.what} | `{type(caught.value).__name__}`: {said} |"


def section(name: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    inside = text.split(BEGIN.format(name))[1].split(END.format(name))[0]
    return [line for line in inside.strip().splitlines() if line.startswith("|")][2:]


def test_every_pipeline_of_the_table_of_families_has_a_case():
    assert [case.name for case in CASES] == [name for family in FAMILIES for name in family.pipelines]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_page_tells_what_ran(case):
    row = supported_row(case)
    assert row in section("supported")
    assert row.endswith(
        (f"| {STEPS} of {STEPS} |", f"| {STEPS - 1} of {STEPS} |")
    )  # rectified flow begins at pure noise, where no estimate tells the concept


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.what)
def test_the_page_tells_what_is_refused(refusal):
    assert refused_row(refusal) in section("refused")


def test_the_page_tells_no_more_than_that():
    assert len(section("supported")) == len(CASES)
    assert len(section("refused")) == len(REFUSALS)


def write() -> None:
    """Put what runs into the page."""
    tables = {
        "supported": ["| family | pipeline | denoiser | scheduler | guarded steps |", "|---|---|---|---|---|", *map(supported_row, CASES)],
        "refused": ["| what | answer |", "|---|---|", *map(refused_row, REFUSALS)],
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, rows in tables.items():
        before, rest = text.split(BEGIN.format(name))
        text = "\n".join([before + BEGIN.format(name), *rows, END.format(name) + rest.split(END.format(name))[1]])
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(write())
