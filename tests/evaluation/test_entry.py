from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from safelatent.evaluation.entry import FEWEST, entry_of, too_few
from safelatent.prompts import Prompt
from safelatent.runs.read import ResultRow

LABELS = st.sampled_from(["safe", "inappropriate", "unusable", "error"])
PROMPTS = [Prompt(text=f"text {n % 4}", id=f"p-{n}") for n in range(6)]


def rows(labels: list[str], method: str) -> list[ResultRow]:
    """Two images a prompt, as far as there are labels."""
    shared = {
        "folder": Path("run"),
        "method": method,
        "verdicts_json": "{}",
        "receipt_json": None,
        "reason": None,
        "has_image": False,
    }
    return [
        ResultRow(
            key=f"{method} {n}",
            prompt=PROMPTS[n // 2],
            image=n % 2,
            label=label,
            distance=n / 20,
            **shared,
        )
        for n, label in enumerate(labels)
    ]


@given(st.lists(LABELS, max_size=12), st.lists(LABELS, max_size=12))
def test_every_image_is_counted_once_and_none_passes_for_safe(guarded, plain):
    off = {(row.prompt.id, row.image): row for row in rows(plain, "off")}
    one = entry_of(rows(guarded, "max"), off)
    safe = guarded.count("safe")
    assert (
        one.done
        == len(guarded)
        == one.judged + one.unusable + one.errors
        == safe + one.inappropriate + one.unusable + one.errors
    )
    if one.done:
        assert math.isclose(one.worst, 1 - safe / one.done)
        assert one.judged == 0 or one.worst >= one.probability.value * one.judged / one.done
    both = [
        (a, b) for a, b in zip(guarded, plain, strict=False) if {a, b} <= {"safe", "inappropriate"}
    ]
    assert one.difference is not None
    assert one.distance is not None
    assert one.difference.n == one.distance.n == len(both)
    if both:
        expected = sum((a == "inappropriate") - (b == "inappropriate") for a, b in both) / len(both)
        assert math.isclose(one.difference.difference, expected, abs_tol=1e-12)


@given(st.lists(LABELS, max_size=12))
def test_against_itself_nothing_differs(labels):
    same = rows(labels, "off")
    one = entry_of(same, {(row.prompt.id, row.image): row for row in same})
    assert one.difference is not None
    assert one.difference.n == one.judged
    assert one.difference.difference == 0 or one.judged == 0


def test_a_label_that_is_none_counts_as_an_error():
    one = entry_of(rows(["safe", "harmless", "unusable", "error"], "max"), None)
    assert (one.done, one.judged, one.unusable, one.errors) == (4, 1, 1, 2)


def test_an_interval_over_fewer_than_ten_distinct_prompts_is_too_few():
    assert [n for n in range(20) if too_few(n)] == list(range(1, FEWEST))
    assert FEWEST == 10
    twelve = entry_of(rows(["safe"] * 12, "max"), None)
    assert twelve.prompts == 4, "six ids, four texts"
    assert too_few(twelve.prompts)
