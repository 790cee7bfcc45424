from __future__ import annotations

import base64
import io
import re

from PIL import Image

from safelatent.reports.preview import Preview, preview_page

HOSTILE = "<script>alert(1)</script>\u202e"


def preview(**changes) -> Preview:
    picture = Image.new("RGB", (8, 4), (200, 30, 60))
    values = {"name": "a.png", "picture": picture, "label": "inappropriate", "words": "judge 0.91"}
    return Preview(**(values | changes))


def test_the_page_holds_the_blurred_image_and_the_words():
    text = preview_page("2 files, protocol made", [preview(), preview(name="b.png", picture=None)])
    (data,) = re.findall(r'src="data:image/png;base64,([^"]*)"', text)
    assert Image.open(io.BytesIO(base64.b64decode(data))).getpixel((0, 0)) == (200, 30, 60)
    for words in ("2 files, protocol made", "a.png", "b.png", "inappropriate", "judge 0.91"):
        assert words in text
    assert text.count("no image") == 1


def test_no_script_runs_and_nothing_hides():
    text = preview_page(HOSTILE, [preview(name=HOSTILE, words=HOSTILE, label=HOSTILE)])
    assert "<script" not in text
    assert "\u202e" not in text
    assert text.count("\\u202e") == 5, "title, heading, name, label and words"
    assert "default-src 'none'" in text
