from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest
from PIL import Image, ImageEnhance

from safelatent.errors import UnsupportedError
from safelatent.provenance import marks
from safelatent.provenance.marks import BITS, SIMILAR, TrustMark, fingerprint
from tests.detectors.tiny_detectors import drawn


def distance(one: str, other: str) -> int:
    bits = marks.distance(one, other)
    assert bits is not None
    return bits


def jpeg(image: Image.Image, quality: int = 75) -> Image.Image:
    image.save(data := io.BytesIO(), "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


def test_a_fingerprint_is_an_iscc_of_256_bits():
    import iscc_lib

    code = fingerprint(drawn(1)[0])
    assert code.startswith("ISCC:EED")  # content, image, version 0, 256 bits
    assert 8 * len(iscc_lib.iscc_decode(code)[-1]) == BITS
    assert fingerprint(drawn(1)[0]) == code


def test_it_is_the_fingerprint_of_iscc_core():
    """The value is iscc-core 1.5's (``gen_image_code_v0``, 256 bits)."""
    picture = Image.frombytes("L", (32, 32), bytes((7 * n * n + n) % 251 for n in range(1024)))
    published = "ISCC:EED6TTQ5UIGKO44KR4LOR4T3GBVUECRXU3XTRJJQT2HQ5XC5TCKQRPQ"
    assert fingerprint(picture) == published


def test_copies_are_similar_and_other_pictures_are_not():
    images = drawn(8)
    codes = [fingerprint(image) for image in images]
    for image, code in zip(images, codes, strict=True):
        for copy in (jpeg(image), image.resize((32, 32)), image.resize((256, 256))):
            assert distance(fingerprint(copy), code) <= SIMILAR
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert distance(fingerprint(mirrored), code) > SIMILAR
    others = [distance(a, b) for n, a in enumerate(codes) for b in codes[:n]]
    assert min(others) > 2 * SIMILAR


def test_a_distance_is_a_metric_and_none_of_what_is_no_fingerprint():
    one, two, three = (fingerprint(image) for image in drawn(3))
    assert distance(one, one) == 0
    assert distance(one, two) == distance(two, one) > 0
    assert distance(one, three) <= distance(one, two) + distance(two, three)
    bright = fingerprint(ImageEnhance.Brightness(drawn(1)[0]).enhance(0.5))
    assert distance(one, bright) < distance(one, two)
    shorter, whole = (
        "ISCC:EEA6TTQ5UIGKO44K",
        "ISCC:KACYPXW445FTYNJ3CYSXHAFJMA2HUWULUNRFE3BLHRSCXYH2M5AEGQY",
    )
    for other in ("", "ISCC:", "ISCC:AAA", "nothing", shorter, whole):
        assert marks.distance(one, other) is None


class Model:
    """TrustMark's interface: 61 bits, kept in the red channel's first row."""

    def __init__(self, **options):
        assert options == {"verbose": False, "model_type": "P", "loadRemover": False}

    def encode(self, image, secret, MODE):  # noqa: N803
        assert (MODE, len(secret), set(secret) <= {"0", "1"}) == ("binary", 61, True)
        marked = image.copy()
        for x, bit in enumerate(secret):
            marked.putpixel((x, 0), (250 + int(bit), 7, 7))
        return marked

    def decode(self, image, MODE):  # noqa: N803
        row = [image.getpixel((x, 0)) for x in range(61)]
        found = all(pixel[1:] == (7, 7) for pixel in row)
        return ("".join(str(pixel[0] - 250) for pixel in row) if found else "", found, 1)


def test_trustmark_is_called_as_its_package_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "trustmark", SimpleNamespace(TrustMark=Model))
    mark, image = TrustMark(), drawn(1)[0]
    assert (mark.name, mark.digits) == ("com.adobe.trustmark.P", 15)
    for payload in ("0" * 15, "f" * 15, "0123456789abcde"):
        assert mark.read(mark.mark(image, payload)) == payload
    assert mark.read(image) is None


def test_without_trustmark_the_message_names_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "trustmark", None)
    with pytest.raises(UnsupportedError, match="run pip install trustmark"):
        TrustMark().mark(drawn(1)[0], "0" * 15)


def test_without_the_extra_the_message_names_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "iscc_lib", None)
    with pytest.raises(UnsupportedError, match=r'run pip install "safelatent\[provenance\]"'):
        fingerprint(drawn(1)[0])
