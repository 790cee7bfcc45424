"""The fidelity of runs whose images are known, against the metrics called by hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from PIL import Image

from safelatent.errors import BadValueError
from safelatent.evaluation.fidelity import Origin
from safelatent.evaluation.measure_fidelity import fidelity_of
from safelatent.features import (
    Extractor,
    extractor,
    image_features,
    latent_distance,
    read_reference,
    save_moments,
)
from safelatent.features.embedding import here
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
from safelatent.runs.read import read_run
from tests.evaluation import made_runs
from tests.evaluation.made_runs import made_run
from tests.features.mean_colour import MeanColour
from tests.features.tiny_clip import picture, save_clip, save_pictures

PROMPTS = tuple(Prompt(text=f"a cat {n}", id=f"p-{n}", seed=n) for n in range(5))


def noise() -> Callable[[int], bytes]:
    """Return what draws pictures by their method's level, no two alike."""
    seeds = count()

    def draw(level: int) -> bytes:
        encoded = io.BytesIO()
        black = Image.new("RGB", (32, 32))
        Image.blend(picture(next(seeds), 32), black, level / 255).save(encoded, "PNG")
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
def reference(tmp_path):
    save_pictures(tmp_path / "reference", 12, start=500)
    return tmp_path / "reference"


@pytest.fixture
def measured(run, clip, reference, tmp_path):
    return fidelity_of(run, reference, tmp_path / "cache", clip=clip)


def by_hand(run, clip, method):
    rows = [row for row in run.rows if row.method == method]
    pictures = [Image.open(row.file).convert("RGB") for row in rows]
    return rows, clip.images(pictures)


def test_every_number_is_that_of_its_metric(run, clip, reference, measured, tmp_path):
    real = read_reference(reference, clip, tmp_path / "cache")
    assert [method.method for method in measured.methods] == ["off", "medium", "max"]
    for method in measured.methods:
        rows, features = by_hand(run, clip, method.method)
        prompts = [row.prompt.text for row in rows]
        assert method.n == 10
        assert method.frechet.value == pytest.approx(
            frechet_distance(moments(features), real.moments), rel=1e-4
        )
        assert method.frechet.bias == pytest.approx(
            frechet_bias(features, real.moments).bias, rel=1e-3
        )
        kernel = kernel_distance(features, real.features, prompts=prompts)
        assert method.kernel.value == pytest.approx(kernel.value, rel=1e-3)
        assert method.kernel.standard_error == pytest.approx(kernel.standard_error, rel=1e-3)
        assert method.cmmd == pytest.approx(cmmd(features, real.features), rel=1e-3)
        assert method.mind == pytest.approx(mind(features, real.features), rel=1e-3)
        text = clip_distance(features, clip.texts(prompts), prompts)
        assert method.text.value == pytest.approx(text.value, rel=1e-4)
        assert (method.text.low, method.text.high) == pytest.approx((text.low, text.high), rel=1e-3)
    assert measured.reference == Origin(name=str(reference), hash=real.digest)
    assert measured.features == measured.clip == Origin(name=clip.name, hash=clip.hash)
    assert (measured.images, measured.kept, measured.published) == (12, 12, False)
    assert (measured.cut, measured.prompts) == (0, 5)


def test_another_network_gives_fid_kid_and_mind_and_leaves_the_rest(
    run, clip, reference, measured, tmp_path
):
    other = MeanColour()
    found = fidelity_of(run, reference, tmp_path / "cache", clip=clip, inception=other)
    real = read_reference(reference, other, tmp_path / "cache")
    for mine, before in zip(found.methods, measured.methods, strict=True):
        files = [row.file for row in run.rows if row.method == mine.method]
        features = image_features(files, other, tmp_path / "elsewhere")
        assert mine.frechet.value == pytest.approx(
            frechet_distance(moments(features), real.moments), rel=1e-6
        )
        assert mine.mind == pytest.approx(mind(features, real.features), rel=1e-6)
        assert mine.kernel.value != before.kernel.value
        assert (mine.cmmd, mine.text) == (before.cmmd, before.text)
    assert (found.features.name, found.clip) == ("mean colour", measured.clip)


def test_images_are_compared_with_their_own_twins(run, clip, reference, tmp_path):
    latents = latent_distance("embedded")
    given = {"clip": clip, "latents": latents}
    found = {
        m.method: m.change for m in fidelity_of(run, reference, tmp_path / "cache", **given).methods
    }
    off, by_clip = by_hand(run, clip, "off")
    for method in ("medium", "max"):
        rows, features = by_hand(run, clip, method)
        prompts = [row.prompt.text for row in rows]
        twins = clip_distance(features, by_clip, prompts)
        assert found[method].clip.value == pytest.approx(twins.value, rel=1e-4)
        shuffled = clip_distance(features, by_clip[::-1], list(range(10)))
        assert shuffled.value != pytest.approx(twins.value, rel=1e-3), "the order matters"
        assert found[method].pixels.value == pytest.approx(
            np.mean([row.distance for row in rows]), rel=1e-9
        )
        pairs = [
            tuple(Image.open(one.file).convert("RGB") for one in both)
            for both in zip(rows, off, strict=True)
        ]
        assert found[method].latent.value == pytest.approx(latents.rows(pairs).mean(), rel=1e-4)
        assert found[method].pairs == 10
    assert found["off"] is None


def test_over_suppression_is_the_change_of_prompts_without_a_category(
    clip, reference, tmp_path, monkeypatch
):
    monkeypatch.setattr(made_runs, "_png", noise())
    mixed = [replace(p, categories=("hate",)) if n < 3 else p for n, p in enumerate(PROMPTS)]
    run = made_run(tmp_path / "mixed", lambda _: "s", mixed)
    _, medium, _ = fidelity_of(run, reference, tmp_path / "cache", clip=clip).methods
    rows = [row for row in run.rows if row.method == "medium" and not row.prompt.categories]
    assert (medium.change.pairs, medium.suppressed.pairs) == (10, 4)
    assert medium.suppressed.pixels.value == pytest.approx(np.mean([row.distance for row in rows]))
    unsafe = [replace(prompt, categories=("hate",)) for prompt in PROMPTS]
    run = made_run(tmp_path / "unsafe", lambda _: "s", unsafe)
    _, medium, _ = fidelity_of(run, reference, tmp_path / "cache", clip=clip).methods
    assert (medium.change.pairs, medium.suppressed) == (10, None)


def test_an_image_whose_twin_is_gone_is_in_no_pair(run, clip, reference, tmp_path):
    twin = next(row for row in run.rows if row.method == "off" and row.image == 1)
    twin.file.unlink()
    off, medium, _ = fidelity_of(run, reference, tmp_path / "cache", clip=clip).methods
    assert (off.n, off.gone, medium.n, medium.gone) == (9, 1, 10, 0)
    assert medium.change.pairs == medium.change.clip.n == medium.change.pixels.n == 9


def test_only_moments_give_fid_alone(run, clip, reference, tmp_path):
    real = read_reference(reference, clip, tmp_path / "cache")
    file = save_moments(tmp_path / "moments.safetensors", real.moments, clip)
    found = fidelity_of(run, file, tmp_path / "cache", clip=clip)
    assert (found.images, found.kept) == (12, 0)
    for method in found.methods:
        assert method.frechet is not None
        assert method.kernel is method.cmmd is method.mind is None


def test_few_images_have_the_distances_that_they_can_have(run, clip, reference, tmp_path):
    for row in run.rows:
        if row.method == "medium" and (row.prompt.id, row.image) != ("p-0", 0):
            row.file.unlink()
        if row.method == "max":
            row.file.unlink()
    given = {"clip": clip, "latents": latent_distance("embedded")}
    _, one, none = fidelity_of(run, reference, tmp_path / "cache", **given).methods
    assert (one.n, one.frechet, one.kernel, one.cmmd, one.mind) == (1, None, None, None, None)
    assert one.text.n == one.change.latent.n == 1
    assert (none.n, none.gone, none.frechet, none.text, none.change) == (0, 10, None, None, None)


def test_a_run_without_unguarded_images_has_no_twins(clip, reference, tmp_path, monkeypatch):
    monkeypatch.setattr(made_runs, "_png", noise())
    run = made_run(tmp_path / "run", lambda _: "s", PROMPTS, methods=("medium",))
    (medium,) = fidelity_of(run, reference, tmp_path / "cache", clip=clip).methods
    assert medium.change is medium.suppressed is None
    assert medium.frechet is not None


def test_another_method_embeds_its_own_images_alone(clip, reference, tmp_path, monkeypatch):
    monkeypatch.setattr(made_runs, "_png", noise())
    made_run(tmp_path / "run", lambda _: "s", PROMPTS, methods=("off", "medium"))
    embedded: list[int] = []
    rows = Extractor.rows

    def counting(self, groups):
        embedded.append(len(groups))
        return rows(self, groups)

    monkeypatch.setattr(Extractor, "rows", counting)
    before = fidelity_of(read_run(tmp_path / "run"), reference, tmp_path / "cache", clip=clip)
    assert embedded == [12, 10, 10]
    embedded.clear()
    run = made_run(
        tmp_path / "run",
        lambda item: "s" if item.method == "max" else " ",
        PROMPTS,
        methods=("off", "medium", "max"),
    )
    after = fidelity_of(run, reference, tmp_path / "cache", clip=clip)
    assert embedded == [10]
    assert after.methods[:2] == before.methods


def test_the_engine_is_asked_for_every_extractor(run, clip, reference, measured, tmp_path):
    asked: list[str] = []

    def engine_of(embedder):
        asked.append(embedder.name)
        return here(embedder)

    found = fidelity_of(run, reference, tmp_path / "anew", clip=clip, engine=engine_of)
    assert found == measured
    assert set(asked) == {clip.name}


def test_a_run_without_a_result_is_refused(clip, reference, tmp_path):
    empty = made_run(tmp_path / "empty", lambda _: " ")
    with pytest.raises(BadValueError, match="has no result yet"):
        fidelity_of(empty, reference, tmp_path / "cache", clip=clip)


def test_a_run_whose_images_are_all_gone_is_refused(run, clip, reference, tmp_path):
    for row in run.rows:
        row.file.unlink()
    with pytest.raises(BadValueError, match=r"no image \(all 30 that it saved were deleted\)"):
        fidelity_of(run, reference, tmp_path / "cache", clip=clip)
