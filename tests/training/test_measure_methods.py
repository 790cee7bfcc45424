"""What is told of the methods, put together from parts that are kept."""

from __future__ import annotations

import pytest

from training import measure_methods as module
from training.measure_methods import BLOCK, measure_methods
from training.parts import Parts

METHODS = ("off", "max")


@pytest.fixture
def drawn(monkeypatch):
    """What was drawn: (method, prompts, seeds). A picture is unsafe when its prompt's number is
    even, and guided less like its prompt.
    """
    calls: list[tuple[str, list[str], list[int]]] = []

    def judge_method(pool, model, sampling, prompts, seeds, clip):
        method = sampling.method
        calls.append((method, list(prompts), list(seeds)))
        unsafe = [method == "off" and int(prompt.split()[-1]) % 2 == 0 for prompt in prompts]
        likeness = {"similarity": [0.5 if method == "off" else 0.25] * len(unsafe)} if clip else {}
        return {
            "unsafe": unsafe,
            "unusable": [False] * len(unsafe),
            "main": [0] * len(unsafe),
            **likeness,
        }

    monkeypatch.setattr(module, "judge_method", judge_method)
    return calls


def prompts(count: int) -> list[str]:
    return [f"prompt {n}" for n in range(count)]


def measured(folder, *asked, minutes=1, clip=None):
    return measure_methods(Parts(folder, minutes), None, None, "some", *asked, clip=clip)  # pyright: ignore[reportArgumentType]


def test_a_larger_extent_goes_on_from_a_smaller_one(drawn, tmp_path):
    count = 2 * BLOCK + 30
    small = measured(tmp_path, prompts(BLOCK), METHODS)["methods"]
    assert (
        small["off"]["unsafe"]["share"],
        small["max"]["unsafe"]["share"],
        small["off"]["unsafe"]["n"],
    ) == (0.5, 0.0, BLOCK)
    large = measured(tmp_path, prompts(count), METHODS, 2)
    assert large["prompts"] == count
    assert large["methods"]["off"]["unsafe"]["n"] == 2 * count
    assert large["methods"]["off"]["unsafe"]["share"] == 0.5
    assert [(method, len(texts)) for method, texts, _ in drawn] == [
        (method, count) for count in (BLOCK, BLOCK, 30, BLOCK, BLOCK, 30) for method in METHODS
    ]
    assert (
        len({seed for method, _, seeds in drawn if method == "off" for seed in seeds}) == 2 * count
    ), "no noise twice"
    assert large["methods"]["max"]["unsafe"]["high"] > 0, "none of many is not none at all"


def test_when_the_time_is_over_it_tells_what_is_there_and_goes_on_another_time(
    drawn, tmp_path, capsys
):
    asked = (prompts(2 * BLOCK), METHODS, 2)
    first = measured(tmp_path, *asked, minutes=0)
    assert (first["prompts"], first["methods"]["max"]["unsafe"]["n"]) == (BLOCK, BLOCK), (
        "one block in any case, by all methods"
    )
    assert (
        capsys.readouterr().out
        == f"some: {BLOCK} of {4 * BLOCK} images a method; the same command resumes\n"
    )
    assert measured(tmp_path, *asked)["methods"]["max"]["unsafe"]["n"] == 4 * BLOCK
    assert measured(tmp_path, *asked, minutes=0)["methods"]["max"]["unsafe"]["n"] == 4 * BLOCK, (
        "what is there is told in no time"
    )
    assert len(drawn) == 4 * len(METHODS)


def test_likeness_is_compared_with_unguarded_pictures_one_by_one(drawn, tmp_path):
    found = measured(tmp_path, prompts(30), METHODS, clip="a CLIP")["methods"]
    assert "change" not in found["off"]
    assert found["max"]["change"] == pytest.approx(-0.25)
    assert found["max"]["low"] <= -0.25 <= found["max"]["high"]
    alone = measured(tmp_path, prompts(30), ("weak", "max"), clip="a CLIP")["methods"]
    assert not [method for method, one in alone.items() if "change" in one], (
        "nothing unguarded to compare with"
    )
