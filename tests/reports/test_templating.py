"""How pages are made: everything is escaped but our own files."""

from __future__ import annotations

import base64
import hashlib
import io

import pytest
from jinja2 import UndefinedError
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from safelatent.reports.templating import (
    assets,
    data_uri,
    environment,
    script_hash,
    source,
    thumbnail,
)

SIDE = 256


def test_texts_are_escaped_and_what_they_hide_is_shown():
    template = environment().from_string("{{ text }}")
    assert template.render(text="<b>\u202e & ") == "&lt;b&gt;\\u202e &amp; "
    with pytest.raises(UndefinedError):
        template.render()


def test_our_own_files_are_put_in_as_they_are():
    style = source("base.css", "page.css")
    assert environment().from_string("{{ style }}").render(style=style) == str(style)
    assert style.startswith(":root {")


def test_a_script_has_the_hash_that_the_policy_names():
    found = assets("tables.js", "page.js")
    digest = hashlib.sha256(found["script"].encode()).digest()
    assert found["script_hash"] == script_hash(found["script"]) == base64.b64encode(digest).decode()


def test_templates_of_other_rooms_come_first(tmp_path):
    (tmp_path / "page.css").write_text("mine")
    (tmp_path / "own.jinja").write_text('{% include "page.css" %}{% include "base.css" %}')
    text = environment(tmp_path).get_template("own.jinja").render()
    assert text.startswith("mine:root {")


def opened(uri: str) -> Image.Image:
    kind, data = uri.split(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_large_picture_becomes_small_and_keeps_its_colour(tmp_path):
    Image.new("RGB", (1024, 512), (200, 30, 60)).save(tmp_path / "a.png")
    small = opened(thumbnail(tmp_path / "a.png", SIDE))
    assert small.size == (SIDE, SIDE // 2)
    assert small.getpixel((9, 9)) == pytest.approx((200, 30, 60), abs=3)


def test_a_small_one_keeps_its_size_and_loses_its_metadata(tmp_path):
    info = PngInfo()
    info.add_itxt("safelatent", "the prompt")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png", pnginfo=info)
    uri = thumbnail(tmp_path / "a.png", SIDE)
    assert opened(uri).size == (64, 64)
    assert b"the prompt" not in base64.b64decode(uri.split(",")[1])


def test_what_is_no_picture_is_none(tmp_path):
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "PNG")
    for n, content in enumerate([b"", b"not a picture", whole.getvalue()[:200]]):
        (tmp_path / f"{n}.png").write_bytes(content)
        assert thumbnail(tmp_path / f"{n}.png", SIDE) is None
    assert thumbnail(tmp_path / "nowhere.png", SIDE) is None


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "EPS", "PDF"])
def test_only_png_files_are_opened(tmp_path, kind):
    """Other formats bring other readers, some of which start programs."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", kind)
    assert thumbnail(tmp_path / "a.png", SIDE) is None


def test_an_image_that_is_too_large_is_none(tmp_path, monkeypatch):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    for most in (3000, 1000):  # Pillow warns above its limit and raises above twice its limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        assert thumbnail(tmp_path / "a.png", SIDE) is None


def test_a_picture_without_loss_stays_as_it_is():
    picture = Image.effect_noise((8, 4), 50)
    kind, data = data_uri(picture, "PNG").split(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).tobytes() == picture.tobytes()
