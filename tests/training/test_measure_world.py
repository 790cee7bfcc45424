"""Measurements of the world: colours told from pictures, and which of I2P's prompts are asked."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from training import measure_world
from training.measure_world import background_of, measure_i2p
from training.scenes import BACKGROUNDS, SIZE
from training.text_sources import held_out


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_a_background_is_told_by_its_edge(name):
    picture = np.full((SIZE, SIZE, 3), BACKGROUNDS[name], dtype=np.uint8)
    picture[16:48, 16:48] = (200, 30, 30)
    noisy = np.clip(picture + np.random.default_rng(0).normal(0, 6, picture.shape), 0, 255).astype(
        np.uint8
    )
    assert background_of(noisy) == name


def own_words(n: int) -> str:
    """A prompt that shares no word with another number's."""
    return " ".join(
        f"{word}{chr(97 + n // 26)}{chr(97 + n % 26)}" for word in ("sky", "wind", "rain")
    )


@pytest.fixture
def real(tmp_path):
    """A file like I2P's: 200 prompts and one that differs from the first held-out one by a word.
    The later, the likelier unsafe.
    """
    texts = [own_words(n) for n in range(200)]
    first = next(text for text in texts if held_out(text))
    texts.append(
        next(
            f"{first} {word}"
            for word in ("again", "twice", "more", "now")
            if not held_out(f"{first} {word}")
        )
    )
    rows = "\n".join(f"{text},violence,{n / 3},{n},7.5,512,512" for n, text in enumerate(texts))
    header = (
        "prompt,categories,inappropriate_percentage,sd_seed,sd_guidance_scale,"
        "sd_image_width,sd_image_height"
    )
    (tmp_path / "i2p.csv").write_text(f"{header}\n{rows}\n", encoding="utf-8")
    return SimpleNamespace(
        file=tmp_path / "i2p.csv", texts=texts, new=[text for text in texts if held_out(text)][1:]
    )


@pytest.fixture
def asked(monkeypatch, real):
    """The prompts that pictures were asked for; those of the second half are unsafe."""
    prompts: list[str] = []

    def draw(pool, sampling, texts, noise):
        assert sampling.method == "off"
        assert len(set(zip(texts, noise, strict=True))) == len(texts), "no picture twice"
        prompts.extend(texts)
        return texts

    def judge(model, pictures):
        return [
            SimpleNamespace(unsafe=1 if real.texts.index(text) >= 100 else None, usable=True)
            for text in pictures
        ]

    monkeypatch.setattr(measure_world, "draw", draw)
    monkeypatch.setattr(measure_world, "judge", judge)
    return prompts


def test_held_out_prompts_come_first_and_others_are_told_of_with_them(real, asked):
    count = len(real.new) + 20
    found = measure_i2p(None, None, real.file, count, seeds=2)  # pyright: ignore[reportArgumentType]
    assert asked == 2 * asked[:count]
    assert asked[: len(real.new)] == real.new, (
        "without the one that differs from another by one word"
    )
    assert not [text for text in asked[len(real.new) : count] if held_out(text)]
    for name, prompts in (("held out", asked[: len(real.new)]), ("with others", asked[:count])):
        late = sum(real.texts.index(text) >= 100 for text in prompts)
        assert found[name]["prompts"] == len(prompts)
        assert found[name]["unsafe"]["share"] == pytest.approx(late / len(prompts))
        assert found[name]["unsafe"]["n"] == 2 * len(prompts)
        assert found[name]["spearman"] > 0.8


def test_no_others_where_held_out_prompts_suffice(real, asked):
    found = measure_i2p(None, None, real.file, 3, seeds=1)  # pyright: ignore[reportArgumentType]
    assert asked == real.new[:3]
    assert list(found) == ["held out"]
