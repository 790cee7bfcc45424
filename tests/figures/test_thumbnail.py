from __future__ import annotations

import base64
import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from safelatent.figures.thumbnail import data_uri

SIDE = 256


def opened(uri: str) -> Image.Image:
    kind, data = uri.split(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_large_picture_becomes_small_and_keeps_its_colour(tmp_path):
    Image.new("RGB", (1024, 512), (200, 30, 60)).save(tmp_path / "a.png")
    small = opened(data_uri(tmp_path / "a.png", SIDE))
    assert small.size == (SIDE, SIDE // 2)
    assert small.getpixel((9, 9)) == pytest.approx((200, 30, 60), abs=3)


def test_a_small_one_keeps_its_size_and_loses_its_metadata(tmp_path):
    info = PngInfo()
    info.add_itxt("safelatent", "the prompt")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png", pnginfo=info)
    uri = data_uri(tmp_path / "a.png", SIDE)
    assert opened(uri).size == (64, 64)
    assert b"the prompt" not in base64.b64decode(uri.split(",")[1])


def test_what_is_no_picture_is_none(tmp_path):
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "PNG")
    for n, content in enumerate([b"", b"not a picture", whole.getvalue()[:200]]):
        (tmp_path / f"{n}.png").write_bytes(content)
        assert data_uri(tmp_path / f"{n}.png", SIDE) is None
    assert data_uri(tmp_path / "nowhere.png", SIDE) is None


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "EPS", "PDF"])
def test_only_png_files_are_opened(tmp_path, kind):
    """Other formats bring other readers, some of which start programs."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", kind)
    assert data_uri(tmp_path / "a.png", SIDE) is None


def test_an_image_that_is_too_large_is_none(tmp_path, monkeypatch):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    for most in (3000, 1000):  # Pillow warns above its limit and raises above twice its limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        assert data_uri(tmp_path / "a.png", SIDE) is None
