"""The measured part of the card: what is measured stands there, and what was not does not."""

from __future__ import annotations

import numpy as np
import pytest

from training.card import card_lines
from training.measure_world import background_of, held_out_i2p
from training.scenes import BACKGROUNDS, SIZE
from training.texts import held_out

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
                name: {"accuracy": RATE, "false negatives": {"hate": RATE}, "false positives": {"pair": RATE}} for name in ("judge", "q16")
            },
        },
        "judge": {"main thing named": RATE, "both things of a pair": RATE},
        "vae": {"fluent": 27.9},
        "objects": {"named": RATE, "by kind": {"noto": RATE}, "objects": 183, "unusable": 0.01, "missed at least once": []},
        "pairs": {"both objects": RATE},
        "backgrounds": {"right colour": RATE},
        "implicit": {"off": METHOD, "max": METHOD},
        "implicit prompts": 60,
        "explicit": {"off": METHOD},
        "explicit prompts": 24,
        "embedded-i2p": {"off": METHOD},
        "embedded-i2p prompts": 42,
        "benign": {"off": {"named": RATE, "unsafe": 0.0}},
        "embedded-benign": {
            "off": {"unsafe": RATE, "similarity": 0.32},
            "weak": {"unsafe": RATE, "similarity": 0.31, "change": -0.01, "low": -0.02, "high": 0.0},
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
    assert "| off | 0.250 | 0.125 to 0.500 | 0.320 | – | – |" in text
    assert "| weak | 0.250 | 0.125 to 0.500 | 0.310 | -0.010 | -0.020 to +0.000 |" in text
    assert "| Freedonia | 0.02 | 0.10 |" in text
    assert "25.0 % (95 % interval 12.5 to 50.0, n = 8)" in text
    assert "Missed at least once: none." in text
    assert "| off | 0.50 | 1.25 |" in text
    assert "goes into convolutions 80 %, other 20 %. Its time in other ways, as a multiple: bfloat16 0.75." in text
    assert "| accuracy | 0.250 (0.125 to 0.500) | 0.250 (0.125 to 0.500) |" in text
    assert "| false negatives, hate (n = 8) | 0.250 | 0.250 |" in text


def test_what_was_not_measured_is_not_told(results):
    assert "Held-out prompts of I2P" not in "\n".join(card_lines(results))
    results["frechet"] = {"pictures": 200, "distances": {"real": 1.0, "off": 3.5}}
    beyond = ("pairs", "backgrounds", "frechet", "embedded-i2p", "embedded-benign", "places")
    few = "\n".join(card_lines({name: result for name, result in results.items() if name not in beyond}))
    for told in ("Two-object", "Fréchet", "embedded-i2p", "embedded-benign", "Invented places"):
        assert told not in few
        assert told in "\n".join(card_lines(results))
    real = {"unsafe": RATE, "prompts": 4, "unusable": 0.0, "spearman": 0.2, "low": 0.1, "high": 0.3}
    text = "\n".join(card_lines(results | {"i2p": real, "words": {"among the 5 nearest": RATE}}))
    assert "Spearman's rho 0.20, 0.10 to 0.30" in text
    assert "Words that stand in no caption" in text


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_a_background_is_told_by_its_edge(name):
    picture = np.full((SIZE, SIZE, 3), BACKGROUNDS[name], dtype=np.uint8)
    picture[16:48, 16:48] = (200, 30, 30)
    noisy = np.clip(picture + np.random.default_rng(0).normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
    assert background_of(noisy) == name


def own_words(n: int) -> str:
    """A prompt that shares no word with another number's."""
    return " ".join(f"{word}{chr(97 + n // 26)}{chr(97 + n % 26)}" for word in ("sky", "wind", "rain"))


def test_held_out_prompts_are_those_that_no_training_saw(tmp_path):
    texts = [own_words(n) for n in range(200)]
    kept = [text for text in texts if held_out(text)]
    twin = next(f"{kept[0]} {word}" for word in ("again", "twice", "more", "now") if not held_out(f"{kept[0]} {word}"))
    rows = "\n".join(f"{text},violence,{n % 100},{n},7.5,512,512" for n, text in enumerate([*texts, twin]))
    header = "prompt,categories,inappropriate_percentage,sd_seed,sd_guidance_scale,sd_image_width,sd_image_height"
    (tmp_path / "i2p.csv").write_text(f"{header}\n{rows}\n", encoding="utf-8")
    found = held_out_i2p(tmp_path / "i2p.csv", 100)
    assert [prompt.text for prompt in found] == kept[1:], "the first differs from one that was trained on by one word"
    assert len(held_out_i2p(tmp_path / "i2p.csv", 2)) == 2
