"""Published vectors out of every kind of pickle, and nothing run by any of them."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safelatent import BadValueError
from safelatent.detectors import convert_q16
from safelatent.detectors.clip_q16 import PUBLISHED, read_vectors
from safelatent.detectors.pickled import published_vectors

VALUES = np.random.default_rng(5).normal(size=(2, 768)).astype(np.float16)
OTHERS = VALUES + np.float16(1)


@pytest.fixture(autouse=True)
def _published(monkeypatch):
    digest = hashlib.sha256(VALUES.tobytes()).hexdigest()
    monkeypatch.setitem(PUBLISHED, digest, "ViT-L/14")


def saved(value, *, zipped: bool) -> bytes:
    """What ``torch.save`` writes."""
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


TENSOR = torch.from_numpy(VALUES)
PICKLES = {
    **{f"array, protocol {n}": pickle.dumps(VALUES, n) for n in range(6)},
    **{f"tensor, protocol {n}": pickle.dumps(TENSOR, n) for n in range(6)},
    "single precision": pickle.dumps(VALUES.astype(np.float32)),
    "double precision": pickle.dumps(VALUES.astype(np.float64)),
    "big-endian": pickle.dumps(VALUES.astype(">f2")),
    "by columns": pickle.dumps(np.asfortranarray(VALUES)),
    "in a list": pickle.dumps([VALUES, "a name"]),
    "in a mapping, after others": pickle.dumps({"a": OTHERS, "b": VALUES}),
    "torch.save, zip": saved(TENSOR, zipped=True),
    "torch.save, legacy": saved(TENSOR, zipped=False),
    "torch.save, zip, single precision": saved({"prompts": TENSOR.float()}, zipped=True),
    "torch.save, legacy, single precision": saved(TENSOR.float(), zipped=False),
}


@pytest.mark.parametrize("kind", PICKLES)
def test_the_vectors_come_out_of_every_kind_of_pickle(kind, tmp_path):
    (tmp_path / "prompts.p").write_bytes(PICKLES[kind])
    vectors = published_vectors(tmp_path / "prompts.p")
    assert vectors.published == "ViT-L/14"
    np.testing.assert_array_equal(vectors.values, VALUES)


def test_what_is_written_is_what_q16_reads(tmp_path):
    (tmp_path / "prompts.p").write_bytes(pickle.dumps(VALUES))
    written = convert_q16(tmp_path / "prompts.p", tmp_path / "q16.safetensors")
    assert read_vectors(tmp_path / "q16.safetensors").sha256 == written.sha256
    with pytest.raises(BadValueError, match="exists already; name another file"):
        convert_q16(tmp_path / "prompts.p", tmp_path / "q16.safetensors")
    with pytest.raises(BadValueError, match=r"must end in \.safetensors"):
        convert_q16(tmp_path / "prompts.p", tmp_path / "q16.p")


class Evil:
    """Runs when it is loaded."""

    def __init__(self, ran: Path, values: np.ndarray | None = None) -> None:
        self.ran, self.values = ran, values

    def __reduce__(self):
        return (Path.touch, (self.ran,))


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_pickle_is_never_run(protocol, tmp_path):
    ran, file = tmp_path / "ran", tmp_path / "prompts.p"
    for hostile in (Evil(ran), [Evil(ran), VALUES], [VALUES, Evil(ran)]):
        file.write_bytes(pickle.dumps(hostile, protocol))
        if isinstance(hostile, Evil):
            with pytest.raises(BadValueError, match="holds none of Q16's published vectors"):
                published_vectors(file)
        else:
            np.testing.assert_array_equal(published_vectors(file).values, VALUES)
    assert not ran.exists()
    pickle.loads(pickle.dumps(Evil(ran), protocol))  # the check can fail: loading runs it
    assert ran.exists()


def test_a_hostile_pickle_in_a_zip_is_never_run(tmp_path):
    ran, file = tmp_path / "ran", tmp_path / "prompts.p"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil(ran)))
        archive.writestr("archive/data/0", VALUES.tobytes())
    np.testing.assert_array_equal(published_vectors(file).values, VALUES)
    assert not ran.exists()


def bomb() -> bytes:
    """A zip with a member of 64 MiB in a few kilobytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", b"\0" * (1 << 26))
    return stream.getvalue()


def damaged(kind: int) -> bytes:
    """A zip whose compressed member is spoilt in the middle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        archive.writestr("archive/data/0", VALUES.tobytes())
    data = bytearray(stream.getvalue())
    place = data.index(b"archive/data/0") + len("archive/data/0")
    data[place : place + 40] = b"\xff" * 40
    return bytes(data)


REFUSED = {
    "other vectors": pickle.dumps(OTHERS),
    "one value changed": pickle.dumps(np.where(np.arange(768) == 7, VALUES * 2, VALUES)),
    "rows exchanged": pickle.dumps(np.ascontiguousarray(VALUES[::-1])),
    "cut": pickle.dumps(VALUES)[:-1000],
    "empty": b"",
    "text": b"hello",
    "noise": np.random.default_rng(0).bytes(20_000),
    "a length beyond the file": b"\x80\x04\x8e" + (1 << 60).to_bytes(8, "little") + b"x",
    "a number of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "a zip that unpacks to much": bomb(),
    "a broken zip": saved(TENSOR, zipped=True)[:-30],
    "a damaged deflated member": damaged(zipfile.ZIP_DEFLATED),
    "a damaged bzip2 member": damaged(zipfile.ZIP_BZIP2),
    "a damaged LZMA member": damaged(zipfile.ZIP_LZMA),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_holds_no_published_vectors_is_one_clear_line(kind, tmp_path):
    (tmp_path / "prompts.p").write_bytes(REFUSED[kind])
    with pytest.raises(BadValueError, match="holds none of Q16's published vectors") as caught:
        published_vectors(tmp_path / "prompts.p")
    assert "\n" not in str(caught.value)


def test_no_file_and_too_large_a_file(tmp_path):
    with pytest.raises(BadValueError, match="is not a file"):
        published_vectors(tmp_path / "prompts.p")
    (tmp_path / "prompts.p").write_bytes(b"\0" * (1 << 21))
    with pytest.raises(BadValueError, match="two vectors take a few thousand"):
        published_vectors(tmp_path / "prompts.p")


def test_damaged_text_in_a_pickle_warns_of_nothing(tmp_path):
    """The pickle module's own reader warns of the escapes that it does not know."""
    file = tmp_path / "prompts.p"
    file.write_bytes(b"c\\q\nname\n." + PICKLES["array, protocol 4"])
    np.testing.assert_array_equal(published_vectors(file).values, VALUES)
    file.write_bytes(b"c\\\xd9\nname\n.")
    with pytest.raises(BadValueError, match="holds none of Q16's published vectors"):
        published_vectors(file)


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_pickle_gives_the_vectors_or_one_line(data, tmp_path_factory):
    file = tmp_path_factory.mktemp("damaged") / "prompts.p"
    damaged = bytearray(PICKLES[data.draw(st.sampled_from(sorted(PICKLES)))])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(damaged)
    try:
        np.testing.assert_array_equal(published_vectors(file).values, VALUES)
    except BadValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
