"""Parts are computed here or elsewhere alike; a picture that is none does not spoil the others."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np

from safelatent.features import image_features
from safelatent.features.embedding import Part, compute, here
from tests.features.mean_colour import MeanColour
from tests.features.tiny_clip import picture, save_pictures


def test_another_engine_computes_what_is_missing_and_nothing_else(tmp_path):
    files = save_pictures(tmp_path / "in", 5)
    image_features(files[:2], MeanColour(), tmp_path / "cache")
    sent: list[int] = []

    def engine(parts):
        for part in sorted(parts, key=lambda part: part.names):  # in any order
            sent.append(len(part.groups))
            yield compute(MeanColour(), part)

    with patch("safelatent.features.stored.PART", 2):
        found = image_features(files, MeanColour(), tmp_path / "cache", engine=engine)
    assert sorted(sent) == [1, 2]
    here = image_features(files, MeanColour(), tmp_path / "other")
    np.testing.assert_array_equal(found, here)


def test_a_broken_picture_is_named_and_the_others_are_computed(tmp_path):
    files = save_pictures(tmp_path, 3)
    files[1].write_bytes(b"no picture")
    part = Part(names=("a", "b", "c"), groups=tuple((file,) for file in files))
    [computed] = here(MeanColour())([part])
    assert list(computed.broken) == [1]
    assert "001.png" in computed.broken[1]
    means = [np.asarray(picture(n)).mean(axis=(0, 1)) for n in (0, 2)]
    np.testing.assert_allclose(computed.rows[[0, 2]], means, rtol=1e-6)
    assert np.isnan(computed.rows[1]).all()
    assert computed.part is part
