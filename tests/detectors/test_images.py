from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from safelatent import BadValueError
from safelatent.detectors import blurred, open_image
from safelatent.detectors.images import (
    FORMATS,
    METADATA,
    TOLERANCE,
    XMP,
    decode_described,
    decode_image,
    usable,
)
from tests.detectors.tiny_detectors import noise

RED = (255, 0, 0)


def saved(folder: Path, name: str, image: Image.Image, **options) -> Path:
    image.save(folder / name, **options)
    return folder / name


def test_a_pictures_bytes_are_the_picture(tmp_path):
    file = saved(tmp_path, "a.png", noise(40))
    np.testing.assert_array_equal(decode_image(file.read_bytes(), "a.png"), open_image(file))
    for data, said in ((b"", "is empty"), (file.read_bytes()[:60], "cannot be read")):
        with pytest.raises(BadValueError, match=f"^'t.tar: a.png' {said}"):
            decode_image(data, "t.tar: a.png")


def test_what_a_files_bytes_say_is_read_with_the_picture():
    packet = "<x/>é"

    def read(add) -> tuple:
        add(info := PngInfo())
        noise(40).save(data := io.BytesIO(), "PNG", pnginfo=info)
        picture, *said = decode_described(data.getvalue(), "a.png")
        np.testing.assert_array_equal(picture, noise(40))
        return tuple(said)

    assert read(lambda info: None) == (None, None)
    assert read(lambda info: info.add_itxt(METADATA, '{"a": 1}')) == ({"a": 1}, None)
    assert read(lambda info: info.add_itxt(XMP, packet)) == (None, packet.encode())
    assert read(lambda info: info.add_text(XMP, packet)) == (None, packet.encode("latin-1"))


def refused(file: Path, message: str) -> None:
    with pytest.raises(BadValueError, match=message) as caught:
        open_image(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extension", ["png", "bmp", "tiff", "webp"])
def test_a_picture_is_what_was_saved(extension, tmp_path):
    image = noise(40)
    opened = open_image(
        saved(
            tmp_path, f"a.{extension}", image, **({"lossless": True} if extension == "webp" else {})
        )
    )
    assert opened.mode == "RGB"
    assert opened.tobytes() == image.tobytes()


def test_the_name_does_not_matter_but_the_content(tmp_path):
    assert (
        open_image(saved(tmp_path, "a.txt", noise(40), format="PNG")).tobytes()
        == noise(40).tobytes()
    )


@pytest.mark.parametrize("extension", ["tiff", "jpg"])
def test_cmyk_is_converted(extension, tmp_path):
    """Red stays red; 3 levels for what JPEG loses."""
    opened = open_image(
        saved(tmp_path, f"a.{extension}", Image.new("RGB", (16, 16), RED).convert("CMYK"))
    )
    assert np.abs(np.asarray(opened).astype(int) - RED).max() <= 3


@pytest.mark.parametrize("extension", ["png", "tiff"])
def test_16_bits_are_scaled_and_not_cut_off(extension, tmp_path):
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    opened = open_image(saved(tmp_path, f"a.{extension}", Image.fromarray(levels * 257)))
    assert np.array_equal(np.asarray(opened), np.repeat(levels[..., None], 3, axis=2))


def test_big_endian_16_bits(tmp_path):
    levels = (np.arange(256) * 257).astype(">u2").reshape(16, 16)
    header = b"MM\0*\0\0\0\x08"
    tags = [
        (256, 3, 16),
        (257, 3, 16),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 122),
        (277, 3, 1),
        (278, 3, 16),
        (279, 4, 512),
    ]
    entries = [
        struct.pack(">HHI", tag, kind, 1)
        + (struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value))
        for tag, kind, value in tags
    ]
    content = header + struct.pack(">H", len(tags)) + b"".join(entries) + b"\0\0\0\0"
    (tmp_path / "a.tif").write_bytes(content.ljust(122, b"\0") + levels.tobytes())
    assert np.array_equal(
        np.asarray(open_image(tmp_path / "a.tif"))[..., 0], np.arange(256).reshape(16, 16)
    )


def png_16_bit_rgb(levels: np.ndarray) -> bytes:
    """``levels``: (H, W, 3); Pillow does not write this kind."""
    height, width, _ = levels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_16_bits_in_colour(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (8, 9, 3))
    (tmp_path / "a.png").write_bytes(png_16_bit_rgb(levels * 257))
    assert np.array_equal(np.asarray(open_image(tmp_path / "a.png")), levels)


def test_integers_of_32_bits_are_read_where_they_are_16_and_refused_elsewhere(tmp_path):
    levels = np.arange(256, dtype=np.int32).reshape(16, 16)
    assert np.array_equal(
        np.asarray(open_image(saved(tmp_path, "a.tiff", Image.fromarray(levels * 257))))[..., 0],
        levels,
    )
    refused(saved(tmp_path, "b.tiff", Image.fromarray(levels * 2**20)), "8 or 16 bits")
    refused(saved(tmp_path, "c.tiff", Image.fromarray(levels - 1)), "from -1")


def test_floats_have_no_stated_range(tmp_path):
    refused(
        saved(tmp_path, "a.tiff", Image.fromarray(np.ones((4, 4), dtype=np.float32))),
        "floating-point",
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_white(mode, tmp_path):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 255))
    image.paste((9, 9, 9, 0), (0, 0, 4, 8))
    opened = np.asarray(open_image(saved(tmp_path, "a.png", image.convert(mode))))
    assert (opened[:, :4] == 255).all()
    assert (opened[:, 4:] == 0).all()


def test_a_half_transparent_pixel_is_half_white(tmp_path):
    opened = np.asarray(
        open_image(saved(tmp_path, "a.png", Image.new("RGBA", (2, 2), (255, 0, 0, 51))))
    )
    assert opened[0, 0].tolist() == [255, 204, 204]


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_a_colour_that_is_declared_transparent_is_white(mode, tmp_path):
    image = Image.new(mode, (8, 8), 0)
    image.paste(1 if mode == "1" else 200 if mode == "L" else (200, 0, 0), (0, 0, 4, 8))
    declared = (0, 0, 0) if mode == "RGB" else 0
    opened = np.asarray(open_image(saved(tmp_path, "a.png", image, transparency=declared)))
    assert (opened[:, 4:] == 255).all()
    assert opened[0, 0, 0] == (255 if mode == "1" else 200)


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "LAB"])
def test_other_modes_become_rgb(mode, tmp_path):
    opened = open_image(saved(tmp_path, "a.tiff", noise(20).convert(mode)))
    assert opened.mode == "RGB"
    assert usable(opened) is opened


def test_a_photo_is_turned_upright(tmp_path):
    image = Image.new("RGB", (4, 8))
    image.paste(RED, (0, 0, 4, 2))  # at the top as stored; orientation 6: the top is at the right
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = np.asarray(open_image(saved(tmp_path, "a.png", image, exif=exif)))
    assert opened.shape == (4, 8, 3)
    assert (opened[:, 6:] == RED).all()
    assert (opened[:, :6] == 0).all()


@pytest.mark.parametrize("extension", ["gif", "png", "webp", "tiff"])
def test_a_file_with_several_frames_is_refused(extension, tmp_path):
    frames = [noise(20), noise(21).resize((20, 8))]
    refused(
        saved(tmp_path, f"a.{extension}", frames[0], save_all=True, append_images=frames[1:]),
        "several frames; save each",
    )


def test_a_gif_of_one_frame_is_a_picture(tmp_path):
    assert usable(open_image(saved(tmp_path, "a.gif", noise(20)))).size == (20, 8)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "gif", "bmp", "tiff"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(extension, share, tmp_path):
    rng = np.random.default_rng(0)
    file = saved(
        tmp_path,
        f"a.{extension}",
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)),
    )
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    refused(file, "cannot be read")


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"\0" * 5000,
        b"<svg/>",
    ],
)
def test_what_is_no_picture_is_refused(content, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    refused(tmp_path / "a.png", f"cannot be read .* one of {', '.join(FORMATS)}")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.png").touch()
    refused(tmp_path / "a.png", "empty")


def test_what_is_not_a_file_is_refused(tmp_path):
    refused(tmp_path, "not a file")
    refused(tmp_path / "no.png", "not a file")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not a file")  # reading it would wait for ever


@pytest.mark.parametrize("limit", [1000, 3000])
def test_a_decompression_bomb_is_refused(limit, tmp_path, monkeypatch):
    """Pillow warns above its limit and raises at twice the limit; both are refused."""
    file = saved(tmp_path, "a.png", Image.new("RGB", (64, 64), RED))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    refused(file, f"more than {limit} pixels")


def test_a_bomb_in_the_header_is_refused_before_it_is_unpacked(tmp_path):
    small = io.BytesIO()
    noise(8).save(small, "BMP")
    content = bytearray(small.getvalue())
    content[18:26] = struct.pack("<ii", 1 << 20, 1 << 20)
    (tmp_path / "a.bmp").write_bytes(content)
    refused(tmp_path / "a.bmp", "would unpack")


def test_a_preview_keeps_the_colours_and_loses_the_detail():
    image = Image.fromarray(np.indices((256, 128)).sum(axis=0).astype(np.uint8) % 2 * 255).convert(
        "RGB"
    )  # a chequered board
    image.paste(RED, (0, 0, 128, 128))
    preview = np.asarray(blurred(image))
    assert preview.shape == (160, 80, 3)
    assert (preview[:40] == RED).all()
    assert np.ptp(preview[120:].astype(int)) <= 1  # grey: the board is gone


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 4)])
def test_a_preview_of_any_shape(size):
    assert max(blurred(Image.new("RGB", size, RED)).size) == 160


def test_a_picture_is_itself():
    image = noise(20)
    assert usable(image) is image


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_rounded_to_8_bits(dtype):
    levels = np.arange(256).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(np.asarray(usable((levels / 255).astype(dtype))), levels)


def test_bytes_stay_as_they_are():
    array = np.asarray(noise(9))
    assert np.array_equal(np.asarray(usable(array[:, ::-1])), array[:, ::-1])


def with_value(value: float) -> np.ndarray:
    array = np.linspace(0, 1, 48).reshape(4, 4, 3)
    array[2, 1, 0] = value
    return array


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("RGB", (8, 8)), "it is black"),
        (np.zeros((8, 8, 3)), "it is black"),
        (Image.new("RGB", (8, 8), (250, 0, 0)), r"of one colour, \(250, 0, 0\)"),
        (np.ones((8, 8, 3)), r"of one colour, \(255, 255, 255\)"),
        (noise(1).resize((1, 1)), "of one colour"),
        (with_value(np.nan), "NaN or infinite"),
        (with_value(-np.inf), "NaN or infinite"),
        (with_value(1.01), "from 0 to 1.01"),
        (with_value(-0.5), "from -0.5 to 1"),
        (np.zeros((0, 8, 3)), r"\(0, 8, 3\)"),
        (np.zeros((8, 8)), r"\(8, 8\)"),
        (np.zeros((3, 8, 8)), r"\(3, 8, 8\)"),
        (np.zeros((8, 8, 3), dtype=np.int64), "int64"),
        (np.zeros((8, 8, 3), dtype=object), "object"),
        (Image.new("RGB", (0, 5)), "0x5"),
        (noise(20).convert("CMYK"), "mode is CMYK"),
        (noise(20).convert("RGBA"), "mode is RGBA"),
        (noise(20).convert("L"), "mode is L"),
        (None, "a NoneType"),
        ("picture.png", "a str"),
        (BadValueError("the file is gone"), "the file is gone"),
    ],
)
def test_what_cannot_be_judged_says_why(image, message):
    with pytest.raises(BadValueError, match=message) as caught:
        usable(image)
    assert "\n" not in str(caught.value)


shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))
colours = st.tuples(*[st.integers(0, 255 - TOLERANCE)] * 3)


@given(shape=shapes, colour=colours, seed=st.integers(0, 1000), as_floats=st.booleans())
def test_one_colour_is_unusable_whatever_the_noise_within_the_tolerance(
    shape, colour, seed, as_floats
):
    grain = np.random.default_rng(seed).integers(0, TOLERANCE + 1, (*shape, 3))
    array = (np.array(colour) + grain).astype(np.uint8)
    with pytest.raises(BadValueError, match=r"black|one colour"):
        usable(array / 255 if as_floats else array)


@given(shape=shapes, colour=colours, channel=st.integers(0, 2), data=st.data())
def test_one_pixel_beyond_the_tolerance_makes_a_picture(shape, colour, channel, data):
    array = np.full((shape[0] + 1, shape[1], 3), colour, dtype=np.uint8)
    place = data.draw(st.integers(0, shape[0])), data.draw(st.integers(0, shape[1] - 1))
    array[(*place, channel)] = (
        colour[channel] + TOLERANCE + 1
        if colour[channel] < 255 - TOLERANCE
        else colour[channel] - TOLERANCE - 1
    )
    assert usable(array).size == (shape[1], shape[0] + 1)


@given(shape=shapes, bad=st.sampled_from([np.nan, np.inf, -np.inf]), seed=st.integers(0, 1000))
def test_one_number_that_is_not_finite_is_enough(shape, bad, seed):
    rng = np.random.default_rng(seed)
    array = rng.random((*shape, 3))
    array.flat[rng.integers(array.size)] = bad
    with pytest.raises(BadValueError, match="NaN or infinite"):
        usable(array)
