"""Scenes as pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from training.glyphs import Glyphs, make_drawings, paint, read_drawings, render
from training.scenes import BACKGROUNDS, LARGE, SIZE, SMALL, Placed, Scene
from training.vae import to_pictures
from training.vocabulary import THINGS


def test_painting_puts_things_where_the_scenes_say():
    red = torch.tensor([255, 0, 0, 255], dtype=torch.uint8)[:, None, None]
    sides = {side: red.expand(len(THINGS), 4, side, side) for side in (LARGE, SMALL)}
    drawings = Glyphs(pictures=sides)
    pair = (Placed(thing=0, spot="middle"), Placed(thing=1, spot="bottom right"))
    corner = (Placed(thing=0, spot="bottom left"),)
    scenes = [
        Scene(background=b, placed=p) for b, p in (("blue", corner), ("white", ()), ("pink", pair))
    ]
    for scene, painted in zip(scenes, paint(scenes, drawings), strict=True):
        pixels = to_pictures(painted[None])[0]
        assert np.array_equal(pixels, render(scene, drawings))
        wanted = np.full((SIZE, SIZE, 3), BACKGROUNDS[scene.background])
        for left, top, side in (item.box for item in scene.placed):
            wanted[top : top + side, left : left + side] = (255, 0, 0)
        assert np.array_equal(pixels, wanted)


def test_drawings_of_another_vocabulary_are_refused(tmp_path):
    few = {str(side): np.zeros((3, side, side, 4), dtype=np.uint8) for side in (LARGE, SMALL)}
    np.savez(tmp_path / "drawings.npz", **few)
    with pytest.raises(SystemExit, match="holds other things than the vocabulary"):
        read_drawings(tmp_path / "drawings.npz")


def test_drawings_come_back_as_they_were_drawn(monkeypatch, tmp_path):
    def draw(_, label, side):
        return Image.new("RGBA", (side, side), (len(label), side, 0, 255))

    monkeypatch.setattr("training.glyphs.draw", draw)
    make_drawings(tmp_path, tmp_path / "drawings.npz")
    drawings = read_drawings(tmp_path / "drawings.npz")
    for side in (LARGE, SMALL):
        assert drawings.pictures[side].shape == (len(THINGS), 4, side, side)
        assert drawings.pictures[side][7, :2, 0, 0].tolist() == [len(THINGS[7].label), side]
