"""The fidelity of runs whose images are known, against the metrics called by hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
from PIL import Image

from safelatent.errors import BadValueError
from safelatent.evaluation.measure_fidelity import fidelity_of
from safelatent.features import extractor, read_reference
from safelatent.features.reference import Reference
from safelatent.metrics import (
    clip_distance,
    cmmd,
    frechet_bias,
    frechet_distance,
    kernel_distance,
    mind,
    moments,
)
from safelatent.prompts import Prompt
from tests.evaluation import made_runs
from tests.evaluation.made_runs import made_run
from tests.features.tiny_clip import picture, save_clip, save_pictures

PROMPTS = tuple(Prompt(text=f"a cat {n}", id=f"p-{n}", seed=n) for n in range(5))


def noise() -> Callable[[int], bytes]:
    """Return what draws pictures by their method's level, no two alike."""
    seeds = count()

    def draw(level: int) -> bytes:
        encoded = io.BytesIO()
        black = Image.new("RGB", (24, 24))
        Image.blend(picture(next(seeds)), black, level / 255).save(encoded, "PNG")
        return encoded.getvalue()

    return draw


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return extractor(save_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(made_runs, "_png", noise())
    return made_run(tmp_path / "run", lambda _: "s", PROMPTS)


@pytest.fixture
def reference(clip, tmp_path):
    save_pictures(tmp_path / "reference", 12, start=500)
    return read_reference(tmp_path / "reference", clip, tmp_path / "cache")


def by_hand(run, clip, method):
    rows = [row for row in run.rows if row.method == method]
    pictures = [Image.open(row.file).convert("RGB") for row in rows]
    return rows, clip.images(pictures)


def test_every_number_is_that_of_its_metric(run, clip, reference, tmp_path):
    found = fidelity_of(run, clip, reference, tmp_path / "cache")
    assert [method.method for method in found.methods] == ["off", "medium", "max"]
    for method in found.methods:
        rows, features = by_hand(run, clip, method.method)
        prompts = [row.prompt.text for row in rows]
        assert method.n == 10
        assert method.frechet.value == pytest.approx(
            frechet_distance(moments(features), reference.moments), rel=1e-4
        )
        assert method.frechet.bias == pytest.approx(
            frechet_bias(features, reference.moments).bias, rel=1e-3
        )
        kernel = kernel_distance(features, reference.features, prompts=prompts)
        assert method.kernel.value == pytest.approx(kernel.value, rel=1e-3)
        assert method.kernel.standard_error == pytest.approx(kernel.standard_error, rel=1e-3)
        assert method.cmmd == pytest.approx(cmmd(features, reference.features), rel=1e-3)
        assert method.mind == pytest.approx(mind(features, reference.features), rel=1e-3)
        text = clip_distance(features, clip.texts(prompts), prompts)
        assert method.text.value == pytest.approx(text.value, rel=1e-4)
        assert (method.text.low, method.text.high) == pytest.approx((text.low, text.high), rel=1e-3)
    assert found.reference == (str(tmp_path / "reference"), 12)
    assert found.features == (clip.name, clip.hash)
    assert (found.cut, found.prompts) == (0, 5)


def test_images_are_compared_with_their_own_twins(run, clip, reference, tmp_path):
    found = {m.method: m for m in fidelity_of(run, clip, reference, tmp_path / "cache").methods}
    _, off = by_hand(run, clip, "off")
    for method in ("medium", "max"):
        rows, features = by_hand(run, clip, method)
        twins = clip_distance(features, off, [row.prompt.text for row in rows])
        assert found[method].change_clip.value == pytest.approx(twins.value, rel=1e-4)
        shuffled = clip_distance(features, off[::-1], list(range(10)))
        assert shuffled.value != pytest.approx(twins.value, rel=1e-3), "the order matters"
        assert found[method].change.value == pytest.approx(
            np.mean([row.distance for row in rows]), rel=1e-9
        )
    assert found["off"].change is found["off"].change_clip is None


def test_an_image_whose_twin_is_gone_is_in_no_pair(run, clip, reference, tmp_path):
    twin = next(row for row in run.rows if row.method == "off" and row.image == 1)
    twin.file.unlink()
    off, medium, _ = fidelity_of(run, clip, reference, tmp_path / "cache").methods
    assert (off.n, off.gone, medium.n, medium.gone) == (9, 1, 10, 0)
    assert medium.change_clip.n == 9


def test_only_moments_give_fid_alone(run, clip, reference, tmp_path):
    bare = Reference(name="moments", moments=reference.moments, features=None)
    for method in fidelity_of(run, clip, bare, tmp_path / "cache").methods:
        assert method.frechet is not None
        assert method.kernel is method.cmmd is method.mind is None


def test_few_images_have_the_distances_that_they_can_have(run, clip, reference, tmp_path):
    for row in run.rows:
        if row.method == "medium" and (row.prompt.id, row.image) != ("p-0", 0):
            row.file.unlink()
        if row.method == "max":
            row.file.unlink()
    _, one, none = fidelity_of(run, clip, reference, tmp_path / "cache").methods
    assert (one.n, one.frechet, one.kernel, one.cmmd, one.mind) == (1, None, None, None, None)
    assert one.text.n == 1
    assert (none.n, none.gone, none.frechet, none.text, none.change_clip) == (
        0,
        10,
        None,
        None,
        None,
    )


def test_a_run_without_unguarded_images_has_no_twins(clip, reference, tmp_path, monkeypatch):
    monkeypatch.setattr(made_runs, "_png", noise())
    run = made_run(tmp_path / "run", lambda _: "s", PROMPTS, methods=("medium",))
    (medium,) = fidelity_of(run, clip, reference, tmp_path / "cache").methods
    assert medium.change is medium.change_clip is None
    assert medium.frechet is not None


def test_a_run_without_a_result_is_refused(clip, reference, tmp_path):
    empty = made_run(tmp_path / "empty", lambda _: " ")
    with pytest.raises(BadValueError, match="has no result yet"):
        fidelity_of(empty, clip, reference, tmp_path / "cache")
