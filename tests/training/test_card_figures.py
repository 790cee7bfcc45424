"""The measured part of the card: what is measured stands there, and what was not does not."""

from __future__ import annotations

import pytest

from training.card_figures import FEW, FEW_WARMUPS, card_lines

RATE = {"share": 0.25, "low": 0.125, "high": 0.5, "n": 8}
METHOD = {"unsafe": RATE, "unusable": 0.0625}


@pytest.fixture
def results():
    return {
        "speed": {
            "threads": 2,
            "load, s": 0.1,
            "images a second": {"off": {"1": 0.5, "8": 1.25}},
            "shares": {"other": 0.2, "convolutions": 0.8},
            "ways": {"bfloat16": 0.75},
        },
        "clip": {
            "right caption among 256": RATE,
            "right caption among 256, the world's shares": RATE,
            "detectors": {
                name: {
                    "accuracy": RATE,
                    "false negatives": {"hate": RATE},
                    "false positives": {"pair": RATE},
                }
                for name in ("judge", "q16")
            },
        },
        "judge": {"main thing named": RATE, "both things of a pair": RATE},
        "witness": {"main thing named": RATE, "nothing unsafe in a smear": RATE},
        "vae": {"reconstruction": 27.9},
        "objects": {
            "named": RATE,
            "by kind": {"in the middle": RATE},
            "objects": 183,
            "unusable": 0.01,
            "missed at least once": [],
        },
        "pairs": {"both objects": RATE},
        "backgrounds": {"right colour": RATE},
        "implicit": {"prompts": 60, "methods": {"off": METHOD, "max": METHOD}},
        "explicit": {"prompts": 24, "methods": {"off": METHOD}},
        "embedded-i2p": {"prompts": 42, "methods": {"off": METHOD}},
        "named": {
            "prompts": 8,
            "exactly that": RATE,
            "methods": {"off": METHOD | {"left": RATE, "main thing": RATE}},
        },
        "alone": {"prompts": 8, "methods": {"off": METHOD | {"left": RATE}, "max": METHOD}},
        "benign": {"off": {"named": RATE, "unsafe": 0.0}},
        "embedded-benign": {
            "prompts": 7,
            "methods": {
                "off": METHOD | {"similarity": 0.32},
                "weak": METHOD | {"similarity": 0.31, "change": -0.01, "low": -0.02, "high": 0.0},
            },
        },
        "places": {
            "places": {"Freedonia": {"trained": 0.02, "drawn": 0.1}},
            "images a place": 10,
            "spearman": 0.9,
            "low": 0.8,
            "high": 1.0,
        },
    }


def test_every_table_has_its_rows(results):
    text = "\n".join(card_lines(results))
    assert "| max | 0.250 | 0.125 to 0.500 | 0.062 |" in text
    assert "Implicit prompts (60 prompts, 8 images a method), share of unsafe images:" in text
    assert "`embedded-benign` (7 prompts, 8 images a method; every fifth" in text
    assert "| off | 0.250 | 0.125 to 0.500 | 0.320 | – | – |" in text
    assert "Unusable of these: off 6.2 %, weak 6.2 %." in text
    assert "| weak | 0.250 | 0.125 to 0.500 | 0.310 | -0.010 | -0.020 to +0.000 |" in text
    assert "| Freedonia | 0.02 | 0.10 |" in text
    assert "25.0 % (95 % interval 12.5 to 50.0, n = 8)" in text
    assert "Missed at least once: none." in text
    assert "| off | 0.50 | 1.25 |" in text
    assert "goes into convolutions 80 %, other 20 %.\n" in text
    assert "Its time in other ways, as a multiple: bfloat16 0.75." in text
    assert "| accuracy | 0.250 (0.125 to 0.500) | 0.250 (0.125 to 0.500) |" in text
    assert "| false negatives, hate (n = 8) | 0.250 | 0.250 |" in text
    named = '"X with a Y", Y unsafe (8 prompts, 8 images a method). Exactly Y: 25.0 %'
    assert named in text
    assert f"| off | {' | '.join(['0.250 | 0.125 to 0.500'] * 3)} |" in text
    assert "Prompts that name an unsafe thing alone (8 prompts, 8 images a method):" in text
    assert "| max | 0.250 | 0.125 to 0.500 | – | – |" in text


def test_few_steps_are_said_with_both_kinds_of_warm_up(results):
    few = {"objects, few steps": results["objects"]}
    for kind in FEW_WARMUPS:
        few |= {f"{what}, {kind}": results[what] for what in ("named", "alone")}
    assert FEW not in "\n".join(card_lines(results))
    text = "\n".join(card_lines(results | few))
    for where in FEW_WARMUPS.values():
        assert f'{FEW}, {where}: "X with a Y", Y unsafe' in text
        assert f"{FEW}, {where}: Prompts that name an unsafe thing alone" in text


def test_what_was_not_measured_is_not_told(results):
    assert "Held-out prompts of I2P" not in "\n".join(card_lines(results))
    results["frechet"] = {"pictures": 200, "distances": {"real": 1.0, "off": 3.5}}
    beyond = ("pairs", "backgrounds", "frechet", "embedded-i2p", "embedded-benign", "places")
    few = "\n".join(
        card_lines({name: result for name, result in results.items() if name not in beyond})
    )
    for told in ("Two-object", "Fréchet", "embedded-i2p", "embedded-benign", "Invented places"):
        assert told not in few
        assert told in "\n".join(card_lines(results))
    real = {"unsafe": RATE, "prompts": 4, "unusable": 0.0, "spearman": 0.2, "low": 0.1, "high": 0.3}
    text = "\n".join(
        card_lines(results | {"i2p": {"held out": real}, "words": {"among the 5 nearest": RATE}})
    )
    assert "Spearman's rho 0.20, 0.10 to 0.30" in text
    assert "4 held-out prompts of I2P without guidance" in text
    assert "from which it learnt" not in text
    assert "Words that stand in no caption" in text
    both = {"held out": real, "with others": real | {"prompts": 6, "spearman": 0.4}}
    text = "\n".join(card_lines(results | {"i2p": both}))
    assert (
        "With 2 more, from which it learnt: unsafe 25.0 % (95 % interval 12.5 to 50.0, n = 8)"
        in text
    )
    assert "Spearman's rho 0.40, 0.10 to 0.30" in text
