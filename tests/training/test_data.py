"""What the model learns from: the shares of other people's words and of empty captions."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.test_texts import Bags
from training.data import EMPTY_SHARE, TEXT_SHARE, example
from training.text_sources import Text
from training.texts import make_pool

TEXTS = [Text(text=f"somebody saw a dog, {n} times over", source="example") for n in range(20)]


def test_texts_and_empty_captions_come_as_often_as_they_should():
    pool, rng = make_pool(Bags(), TEXTS, {}), np.random.default_rng(0)
    captions = [example(rng, pool)[1] for _ in range(4000)]
    told = [text for text in captions if text]
    assert 1 - len(told) / len(captions) == pytest.approx(EMPTY_SHARE, abs=0.02)
    assert np.mean([text in pool.texts and " " in text for text in told]) > TEXT_SHARE / 3
