"""The contact sheet: which pictures stand where."""

from __future__ import annotations

import numpy as np

from training import contact


def test_pairs_stand_side_by_side_behind_the_single_objects(monkeypatch):
    asked = []

    def draw(_, sampling, prompts, noise):
        asked.append((sampling.method, list(prompts), list(noise)))
        grey = {"off": 100, "strong": 200}[sampling.method]
        return [np.full((2, 2, 3), grey + n, dtype=np.uint8) for n in range(len(prompts))]

    monkeypatch.setattr(contact, "draw", draw)
    page = np.asarray(contact.contact_sheet(None, single=10, named=5))
    assert page.shape == (2 * 2, 10 * 2, 3)
    greys = page[::2, ::2, 0]
    assert greys[0].tolist() == [*range(100, 110)]
    assert greys[1].tolist() == [100, 200, 101, 201, 102, 202, 103, 203, 104, 204]
    single, off, strong = asked
    assert all(" with " in text for text in off[1])
    assert off[1:] == strong[1:], "the same prompts from the same noise"
    assert not set(single[2]) & set(off[2])
