"""How the card's figures are put together from parts that are kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from training import measure
from training.measure import BLOCK, measure_harmless, measure_methods


@pytest.fixture
def drawn(monkeypatch):
    """What was drawn: (method, prompts, seeds). A picture is unsafe when its prompt's number is even, and guided less like its prompt."""
    calls: list[tuple[str, list[str], list[int]]] = []

    def judge_method(pool, model, method, prompts, seeds, clip=None):
        calls.append((method, list(prompts), list(seeds)))
        unsafe = [method == "off" and int(prompt.split()[-1]) % 2 == 0 for prompt in prompts]
        return {"unsafe": unsafe, "unusable": [False] * len(unsafe), "similarity": [0.5 if method == "off" else 0.25] * len(unsafe)}

    monkeypatch.setattr(measure, "judge_method", judge_method)
    return calls


@pytest.fixture
def kept():
    parts: dict[str, object] = {}

    def keep(name, compute):
        if name not in parts:
            parts[name] = compute()
        return parts[name]

    return keep


def test_a_larger_extent_goes_on_from_a_smaller_one(drawn, kept):
    prompts = [f"prompt {n}" for n in range(2 * BLOCK + 30)]
    small = measure_methods(kept, None, None, "some", prompts[:BLOCK], ("off", "max"), 1)  # pyright: ignore[reportArgumentType]
    assert (small["off"]["unsafe"]["share"], small["max"]["unsafe"]["share"], small["off"]["unsafe"]["n"]) == (0.5, 0.0, BLOCK)
    large = measure_methods(kept, None, None, "some", prompts, ("off", "max"), 2)  # pyright: ignore[reportArgumentType]
    assert large["off"]["unsafe"]["n"] == 2 * len(prompts)
    assert large["off"]["unsafe"]["share"] == 0.5
    assert [(method, len(texts)) for method, texts, _ in drawn] == [
        (method, count) for count in (BLOCK, BLOCK, 30, BLOCK, BLOCK, 30) for method in ("off", "max")
    ]
    assert len({seed for method, _, seeds in drawn if method == "off" for seed in seeds}) == 2 * len(prompts), "no noise twice"
    assert large["max"]["unsafe"]["high"] > 0, "none of many is not none at all"


def test_likeness_is_compared_with_unguarded_pictures_one_by_one(drawn, kept, monkeypatch):
    prompts = [f"prompt {n}" for n in range(40)]
    monkeypatch.setattr(measure, "embedded_benign", lambda: [SimpleNamespace(text=text, seed=1) for text in prompts])
    found = measure_harmless(kept, None, None, None, ("off", "max"), 30)  # pyright: ignore[reportArgumentType]
    assert [len(texts) for _, texts, _ in drawn] == [30, 30]
    assert "change" not in found["off"]
    assert found["max"]["change"] == pytest.approx(-0.25)
    assert found["max"]["low"] <= -0.25 <= found["max"]["high"]
    alone = measure_harmless(kept, None, None, None, ("weak", "max"), 30)  # pyright: ignore[reportArgumentType]
    assert not [method for method, one in alone.items() if "change" in one], "nothing unguarded to compare with"
