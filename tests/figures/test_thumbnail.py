from __future__ import annotations

import base64
import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from safelatent.figures.thumbnail import SIDE, data_uri


def opened(uri: str) -> Image.Image:
    kind, data = uri.split(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_large_picture_becomes_small_and_keeps_its_colour(tmp_path):
    Image.new("RGB", (1024, 512), (200, 30, 60)).save(tmp_path / "a.png")
    small = opened(data_uri(tmp_path / "a.png"))
    assert small.size == (SIDE, SIDE // 2)
    assert small.getpixel((9, 9)) == pytest.approx((200, 30, 60), abs=2)


def test_a_small_one_keeps_its_size_and_loses_its_metadata(tmp_path):
    info = PngInfo()
    info.add_itxt("safelatent", "the prompt")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png", pnginfo=info)
    uri = data_uri(tmp_path / "a.png")
    assert opened(uri).size == (64, 64)
    assert b"the prompt" not in base64.b64decode(uri.split(",")[1])


def test_what_is_no_picture_is_none(tmp_path):
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "PNG")
    for n, content in enumerate([b"", b"not a picture", whole.getvalue()[:200]]):
        (tmp_path / f"{n}.png").write_bytes(content)
        assert data_uri(tmp_path / f"{n}.png") is None
    assert data_uri(tmp_path / "nowhere.png") is None
