"""Files of torch.save, read without running them; and what would run something refused."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from safelatent.errors import BadValueError
from safelatent.features.pickled_weights import read_weights

TENSORS = {
    "a.weight": torch.randn(3, 2, 1, 5),
    "a.count": torch.tensor(7),
    "half": torch.randn(4).half(),
    "double": torch.randn(2, 1).double(),
    "part": torch.arange(12.0).reshape(4, 3)[1:3],
    "empty": torch.empty(0, 3),
}


def saved(value: object, zipped: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_every_tensor_comes_back(zipped, kind):
    found = read_weights(saved(kind(TENSORS), zipped))
    assert list(found) == list(TENSORS)
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(found[name], tensor.numpy())


@pytest.mark.parametrize("zipped", [True, False])
def test_a_modules_state_comes_back(zipped):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    found = read_weights(saved(module.state_dict(), zipped))
    assert set(found) == set(module.state_dict())
    tensor = module[0].weight.detach()
    shared = {"one": tensor, "other": tensor}
    found = read_weights(saved(shared, zipped))
    np.testing.assert_array_equal(found["one"], found["other"])


class Harmful:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_is_run(zipped, tmp_path):
    for value in (Harmful(tmp_path / "ran"), {"weights": Harmful(tmp_path / "ran")}):
        with pytest.raises(BadValueError, match="pickled weights cannot be read"):
            read_weights(saved(value, zipped))
    assert not (tmp_path / "ran").exists()
    torch.load(io.BytesIO(saved(Harmful(tmp_path / "ran"), zipped)), weights_only=False)
    assert (tmp_path / "ran").exists(), "the file is one that does run something"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK nothing",
        b"nothing",
        b"c\\q\nname\n.",  # an escape that the pickle module's own reader would warn of
        pickle.dumps([1, 2]),
        saved([1, 2], zipped=True),
        saved({"a": 1}, zipped=True),
        saved({"a": 1}, zipped=False),
        saved({"turned": torch.randn(3, 2).T}, zipped=True),
        saved(TENSORS, zipped=False)[:-9],
        saved(TENSORS, zipped=True)[:200],
    ],
)
def test_what_is_no_state_dict_is_one_line(data):
    with pytest.raises(BadValueError, match=r"cannot be read \(.*\); give a state dict"):
        read_weights(data)


def zipped_pickle(kind: int) -> bytes:
    """A state dict as torch.save writes it, but with compressed members."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved(TENSORS, zipped=True))) as stored,
        zipfile.ZipFile(out, "w", kind) as packed,
    ):
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    return out.getvalue()


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("flip", [0x01, 0xFF])
def test_a_damaged_or_encrypted_member_is_one_line(kind, flip):
    good = zipped_pickle(kind)
    assert set(read_weights(good)) == set(TENSORS)
    place = good.index(b"data.pkl") + 60
    for at in range(place, place + 40):
        bad = bytearray(good)
        bad[at] ^= flip
        with pytest.raises(BadValueError, match=r"cannot be read \(.*\); give a state dict"):
            read_weights(bytes(bad))
    for at, value in ((8, 1), (10, 77)):  # encrypted; compressed in a way that nobody knows
        bad = bytearray(good)
        start = -1
        while (start := good.find(b"PK\x01\x02", start + 1)) >= 0:
            bad[start + at] = value
        with pytest.raises(BadValueError, match=r"cannot be read \(.*\); give a state dict"):
            read_weights(bytes(bad))


def test_a_count_beyond_all_memory_is_one_line():
    data = bytearray(saved({"a": torch.ones(3)}, zipped=False))
    data[-20:-12] = b"\xff" * 8
    with pytest.raises(BadValueError, match=r"cannot be read \(.*\); give a state dict"):
        read_weights(bytes(data))
