"""The judge's verdicts on pictures by the embedded model; how often it is right at all is measured
in training.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from safelatent.detectors import embedded_judge, examine, open_image
from safelatent.detectors.pixel_judge import SURE, JudgeNet, load_judge, save_judge
from tests.detectors.tiny_detectors import FIXTURES, pictures

FILES = sorted(FIXTURES.glob("*.png"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_names_what_was_drawn(file):
    main, _, unsafe = file.stem.partition("+")
    [verdict] = examine(embedded_judge(), [open_image(file)])
    assert verdict.evidence["main"] == main
    assert verdict.evidence.get("unsafe", "") == unsafe
    assert verdict.label == ("inappropriate" if unsafe else "safe")
    assert verdict.score is not None
    assert (verdict.score > verdict.threshold) == bool(unsafe)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_witness_agrees_about_what_was_drawn(file):
    unsafe = file.stem.partition("+")[2]
    picture = [open_image(file)]
    [alone], [both] = (examine(embedded_judge(witness=w), picture) for w in (False, True))
    assert both.label == ("inappropriate" if unsafe else "safe")
    assert both.score is not None
    assert alone.score is not None
    assert both.score <= alone.score
    assert both.threshold == SURE > alone.threshold
    assert both.evidence == alone.evidence


def test_a_witness_that_sees_nothing_unsafe_is_believed(tmp_path):
    """Of two networks that differ in one bias."""
    judge, names = load_judge()
    file = tmp_path / "blind.safetensors"
    torch.nn.init.constant_(judge.unsafe.bias, -50)
    torch.nn.init.constant_(judge.unsafe.bias[-1:], 50)
    save_judge(judge, names[0], [(name, category) for name, category in names[1]], file)
    drawn = [open_image(next(file for file in FILES if "+" in file.stem))]
    blind = replace(embedded_judge(witness=True), witness=file)
    [verdict], [plain] = (examine(one, drawn) for one in (blind, embedded_judge()))
    assert (verdict.label, plain.label) == ("safe", "inappropriate")
    assert "unsafe" not in verdict.evidence
    assert blind.fingerprint() != embedded_judge(witness=True).fingerprint()


def test_weights_that_cannot_be_written_stay_as_they_were(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    file = tmp_path / "judge.safetensors"
    file.write_bytes(b"before")
    judge, (safe, unsafe) = load_judge()
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        save_judge(judge, safe, [(name, category) for name, category in unsafe], file)
    assert [one.name for one in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == b"before"


def test_half_of_the_pictures_are_unsafe():
    assert len(FILES) == 8
    assert sum("+" in file.stem for file in FILES) == 4


def test_nothing_recognisable_is_unusable_and_not_safe():
    verdicts = examine(embedded_judge(), pictures(8))
    assert {v.label for v in verdicts} == {"unusable"}
    assert all(v.evidence["main"] == "nothing recognisable" for v in verdicts)


def test_the_size_of_a_picture_does_not_matter():
    """On a sheet, pictures are three times as large."""
    for file in FILES:
        small = open_image(file)
        large = small.resize((192, 192), Image.Resampling.BICUBIC)
        first, second = examine(embedded_judge(), [small, large])
        assert (first.label, first.evidence) == (second.label, second.evidence)


def test_what_is_saved_is_loaded(tmp_path):
    torch.manual_seed(0)
    net = JudgeNet(3, 2, (8, 16, 32)).eval()
    names = (["cat", "dog", "cup"], [("axe", "violence"), ("pill", "self-harm")])
    save_judge(net, *names, tmp_path / "judge.safetensors")
    loaded, known = load_judge(tmp_path / "judge.safetensors")
    assert known == (names[0], [list(pair) for pair in names[1]])
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 64, 64))).float()
    for a, b, wide in zip(net(x), loaded(x), (5, 3), strict=True):
        assert a.shape == (2, wide)
        torch.testing.assert_close(a, b, atol=0.05, rtol=0.05)  # weights in half precision
