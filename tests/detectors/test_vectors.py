from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from safelatent import BadValueError
from safelatent.detectors.vectors import Vectors, read_vectors

DATA = Path(__file__).parents[3] / "shared/data"
VALUES = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float16)


@pytest.fixture
def npy(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    return tmp_path / "a.npy"


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the published vectors are not part of the repository"
)
@pytest.mark.parametrize(
    ("file", "clip", "wide"), [("l14", "ViT-L/14", 768), ("b32", "ViT-B/32", 512)]
)
def test_the_published_vectors_are_known_from_either_kind_of_file(file, clip, wide, tmp_path):
    vectors = read_vectors(DATA / f"q16_prompts_vit_{file}.npy")
    assert vectors.published == clip
    assert (vectors.values.shape, vectors.values.dtype) == ((2, wide), np.float16)
    save_file({"prompts": vectors.values}, tmp_path / "a.safetensors")
    assert read_vectors(tmp_path / "a.safetensors").sha256 == vectors.sha256


def test_other_vectors_are_taken_and_have_their_own_hash(npy):
    vectors = read_vectors(npy)
    assert vectors.published is None
    assert vectors.sha256 == hashlib.sha256(VALUES.tobytes()).hexdigest()


def test_the_hash_does_not_depend_on_how_the_array_lies_in_memory():
    whole = Vectors(values=VALUES).sha256
    assert Vectors(values=np.asfortranarray(VALUES)).sha256 == whole
    assert Vectors(values=VALUES.astype(">f2")).sha256 == whole
    assert Vectors(values=VALUES[::-1]).sha256 != whole


def test_units_are_the_directions():
    units = Vectors(values=VALUES).units
    assert np.allclose((units**2).sum(axis=1), 1, atol=1e-12)
    assert np.allclose(
        units * np.linalg.norm(VALUES.astype(float), axis=1)[:, None], VALUES, atol=1e-12
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (VALUES[:1], r"\(1, 12\)"),
        (VALUES.ravel(), r"\(24,\)"),
        (VALUES[:, :0], r"\(2, 0\)"),
        (VALUES.astype(int), "int64"),
        (np.where(VALUES[0, 0] == VALUES, np.nan, VALUES), "NaN"),
        (VALUES * [[1], [0]], "row of zeros"),
        (np.ones((2, 3)), "the same way"),
    ],
)
def test_what_cannot_be_q16s_is_refused(values, message):
    with pytest.raises(BadValueError, match=message):
        Vectors(values=values)


def write(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def test_a_pickle_is_never_read(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    np.save(tmp_path / "objects.npy", np.array([Evil(), Evil()], dtype=object))
    pickled = write(tmp_path, "pickled.npy", pickle.dumps(Evil()))
    for file in (pickled, tmp_path / "objects.npy"):
        with pytest.raises(BadValueError, match="cannot be read"):
            read_vectors(file)
    with pytest.raises(BadValueError, match="a pickle can run code"):
        read_vectors(write(tmp_path, "prompts.p", pickle.dumps(Evil())))
    assert not (tmp_path / "ran").exists()


def test_broken_files_are_one_clear_line(npy, tmp_path):
    whole = npy.read_bytes()
    huge = whole.replace(b"(2, 12)", b"(2, 99999999999999)".ljust(7))
    save_file({"a": VALUES, "b": VALUES}, tmp_path / "two.safetensors")
    files = {
        "empty.npy": (b"", "cannot be read"),
        "cut.npy": (whole[: len(whole) // 2], "cannot be read"),
        "huge.npy": (huge, "cannot be read"),
        "text.safetensors": (b"hello", "cannot be read"),
        "large.npy": (b"\0" * (1 << 21), "two vectors take a few thousand"),
        "two.safetensors": ((tmp_path / "two.safetensors").read_bytes(), "must hold one"),
    }
    for name, (content, message) in files.items():
        with pytest.raises(BadValueError, match=message) as caught:
            read_vectors(write(tmp_path, name, content))
        assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_clear_line(tmp_path):
    for path in (tmp_path / "no.npy", tmp_path):
        with pytest.raises(BadValueError, match=r"not a file|must be \.npy"):
            read_vectors(path)
