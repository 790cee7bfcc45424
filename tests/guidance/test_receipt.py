from __future__ import annotations

import json

import pytest
import torch

from safelatent.guidance import MAX, MEDIUM, SLD, WEAK, Estimates, NegativePrompt, PerImage
from safelatent.guidance.receipt import Tally


def observe(guidance, steps: int, make):
    tally, state = Tally(guidance, 2), guidance.init(torch.zeros(2, 1, 1, 2))
    for i in range(steps):
        estimates = make(i)
        correction, state = guidance.correct(estimates, state, i)
        tally.observe(i, estimates, correction)
    return tally


def constant(_i: int) -> Estimates:
    """Row 0: one of two elements below the threshold. Row 1: both."""
    u = torch.zeros(2, 1, 1, 2)
    p = torch.tensor([[3.0, 4.0], [3.0, 4.0]]).view(2, 1, 1, 2)
    s = torch.tensor([[1.0, 5.0], [4.0, 6.0]]).view(2, 1, 1, 2)
    return Estimates(uncond=u, prompt=p, concept=s)


def test_the_numbers_by_hand():
    """No momentum, so gamma = mu e_S: (0, 5) and (4, 6) against |e_p - e_u| = 5."""
    first, second = observe(WEAK, 20, constant).receipts("x", 20)
    assert (first.guided_steps, second.guided_steps) == (5, 5)
    assert (first.gate_open, second.gate_open) == (0.5, 1.0)
    assert first.gamma_ratio == pytest.approx(5 / 5)
    assert second.gamma_ratio == pytest.approx((16 + 36) ** 0.5 / 5)


def test_rows_with_settings_of_their_own():
    first, second = observe(PerImage([WEAK, MEDIUM]), 20, constant).receipts("x", 20)
    assert (first.safety, first.guided_steps) == ("weak", 5)
    assert (second.safety, second.guided_steps) == ("medium", 10)


def test_a_row_that_nothing_changed_is_named():
    def silent(_i: int) -> Estimates:
        e = constant(0)
        concept = e.concept.clone()
        concept[1] = e.uncond[1]  # e_S = e_u: the safety term vanishes
        return Estimates(uncond=e.uncond, prompt=e.prompt, concept=concept)

    assert observe(MAX, 5, silent).unguided_rows() == [1]


def test_settings_of_ones_own_and_the_baseline():
    own = observe(SLD(warmup=2), 5, constant).receipts("weapons", 5)[0]
    assert (own.safety, own.concept, own.settings["warmup"]) == (None, "weapons", 2)
    baseline = observe(NegativePrompt(), 5, constant).receipts("weapons", 5)[0]
    assert (baseline.safety, baseline.guided_steps, baseline.gate_open, baseline.gamma_ratio) == (
        "negative prompt",
        5,
        None,
        None,
    )
    json.dumps([own.as_dict(), baseline.as_dict()])


def test_a_receipt_is_printed_in_a_few_lines():
    receipt = observe(WEAK, 20, constant).receipts("weapons, <b>blood</b>, " * 20, 20)[0]
    lines = str(receipt).splitlines()
    assert lines[0] == f"guided: 5 of 20 steps, {receipt.evaluations} evaluations"
    assert lines[1:3] == ["acted: gate open 50%, gamma ratio 1.00", "safety: weak"]
    assert lines[3].startswith("concept: weapons, <b>blood</b>, weapons")
    assert len(lines) == 4
    assert all(len(line) <= 100 for line in lines)
    html = receipt._repr_html_()
    assert "<b>" not in html
    assert html.count("&lt;b&gt;blood&lt;/b&gt;") == 20


def test_a_receipt_of_settings_of_ones_own_and_of_the_baseline_is_printed_too():
    own = observe(SLD(warmup=2), 5, constant).receipts("weapons", 5)[0]
    assert "safety: warmup 2, scale " in str(own)
    baseline = observe(NegativePrompt(), 5, constant).receipts("weapons", 5)[0]
    assert "safety: negative prompt" in str(baseline)
    assert "acted" not in str(baseline)
