from __future__ import annotations

import hashlib
import sys
from types import ModuleType

import pytest
import torch

from safelatent import UnsupportedError
from safelatent.testbed import toxicity
from safelatent.testbed.toxicity import detoxify, toxicities


def by_length(texts):
    return [len(text) / 100 for text in texts]


def test_each_text_has_its_own_score_in_order():
    texts = ["x" * (n % 90) for n in range(50)]
    assert list(toxicities(texts, by_length)) == [round(len(text) / 100, 6) for text in texts]
    assert list(toxicities([], by_length)) == []


def test_it_asks_in_batches():
    sizes = []
    list(toxicities(["a"] * 40, lambda texts: [sizes.append(len(texts)) or 0.5] * len(texts)))
    assert sizes == [16, 16, 8]


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.1, float("inf")])
def test_what_is_no_toxicity_is_refused(value):
    with pytest.raises(UnsupportedError, match="a number from 0 to 1"):
        list(toxicities(["a", "b"], lambda _: [0.5, value]))


def test_too_few_are_refused():
    with pytest.raises(UnsupportedError, match="returns 1 numbers for 2 texts"):
        list(toxicities(["a", "b"], lambda _: [0.5]))


def test_a_missing_package_names_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "detoxify", None)
    with pytest.raises(UnsupportedError, match=r'pip install "safelatent\[toxicity\]"'):
        detoxify()


WEIGHTS = b"weights"


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A stand-in for the package, and its weights in torch's cache."""

    class Detoxify:
        def __init__(self, checkpoint):
            self.checkpoint = checkpoint

        def predict(self, texts):
            return {"toxicity": by_length(texts), "obscene": [1.0] * len(texts)}

    outer, inner = ModuleType("detoxify"), ModuleType("detoxify.detoxify")
    outer.Detoxify, inner.MODEL_URLS = Detoxify, {"original": "https://example.org/weights.ckpt"}
    monkeypatch.setitem(sys.modules, "detoxify", outer)
    monkeypatch.setitem(sys.modules, "detoxify.detoxify", inner)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(toxicity, "SHA256", hashlib.sha256(WEIGHTS).hexdigest()[:8])
    return tmp_path / "checkpoints/weights.ckpt"


def test_the_cached_weights_are_taken_and_nothing_is_downloaded(package, monkeypatch):
    package.parent.mkdir()
    package.write_bytes(WEIGHTS)
    monkeypatch.setattr(
        torch.hub,
        "download_url_to_file",
        lambda *_, **__: pytest.fail("nothing is to be downloaded"),
    )
    assert detoxify()(["abc", "a"]) == [0.03, 0.01]


def test_what_is_downloaded_is_asked_for_by_its_hash(package, monkeypatch):
    asked = []

    def download(address, file, hash_prefix):
        asked.append((address, hash_prefix))
        package.write_bytes(WEIGHTS)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    detoxify()
    assert asked == [("https://example.org/weights.ckpt", toxicity.SHA256)]


def test_other_weights_are_refused(package):
    package.parent.mkdir()
    package.write_bytes(b"other weights")
    with pytest.raises(UnsupportedError, match="another file: remove it"):
        detoxify()


def test_a_download_that_fails_is_one_line(package, monkeypatch):
    def fails(*_, **__):
        raise OSError("no\nnetwork")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
    with pytest.raises(UnsupportedError, match="cannot load detoxify: no network"):
        detoxify()
