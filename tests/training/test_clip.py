"""How the embedded CLIP and its detectors are made: the parts by their definitions, and a miniature
of the whole way.
"""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.nn.functional import normalize

from safelatent.errors import UnsupportedError
from safelatent.models.clip_model import (
    CLIP,
    Q16_VECTORS,
    SCENES,
    WEIGHTS,
    load_checker,
    load_clip,
)
from tests import tiny
from tests.training.test_sketch import made_drawings
from training import measure_clip as clip_measures
from training.clip import (
    ClipStage,
    checkpoint_folder,
    contrastive_loss,
    load_text,
    mixed_scene,
    new_clip,
    same_meaning,
    save_clip,
    train_clip,
)
from training.clip_detectors import (
    CONCEPTS,
    Labelled,
    Workshop,
    best_threshold,
    concept_vectors,
    fit_thresholds,
    make_detectors,
    tune_prompts,
)
from training.device import Place
from training.fetch import fetch
from training.glyphs import render
from training.loop import Budget
from training.measure_clip import measure_clip, retrieval, share
from training.package import PACKAGED
from training.scenes import Placed, Scene
from training.vocabulary import THINGS, UNSAFE, words
from training.world_moments import save_scenes


def scene(*things: int, background: str = "white") -> Scene:
    return Scene(
        background=background, placed=tuple(Placed(thing=thing, spot="middle") for thing in things)
    )


def test_the_unsafe_has_its_share():
    rng = np.random.default_rng(0)
    scenes = [mixed_scene(rng, 0.5) for _ in range(2000)]
    unsafe = [s for s in scenes if s.unsafe is not None]
    pairs = [s for s in scenes if s.unsafe is None and len(s.safe) == 2]
    assert len(unsafe) / 2000 == pytest.approx(0.5, abs=0.04)
    assert len(pairs) / (2000 - len(unsafe)) == pytest.approx(1 / 3, abs=0.04)
    assert np.mean([bool(s.safe) for s in unsafe]) == pytest.approx(0.85, abs=0.04)


def test_the_same_meaning():
    scenes = [scene(1), scene(1), scene(1, background="blue"), scene(2, 3), scene(3, 2)]
    captions = ["a dog", "the dog", "a dog", "a and b", "b and a"]
    same = same_meaning(scenes, captions)
    assert {(int(i), int(j)) for i, j in same.nonzero()} == {
        (0, 1),
        (1, 0),
        (0, 2),
        (2, 0),
        (3, 4),
        (4, 3),
    }


def slow_loss(image, text, scale, same):
    """Row by row, and column by column."""
    cosines = normalize(image, dim=1) @ normalize(text, dim=1).T
    total = 0.0
    for matrix in (cosines, cosines.T):
        for n in range(len(matrix)):
            others = [math.exp(scale * matrix[n, m]) for m in range(len(matrix)) if not same[n, m]]
            total -= math.log(math.exp(scale * matrix[n, n]) / sum(others))
    return total / (2 * len(cosines))


def test_the_loss_by_its_definition():
    torch.manual_seed(0)
    image, text = torch.randn(5, 8), torch.randn(5, 8)
    same = same_meaning(
        [scene(1), scene(1), scene(2), scene(3), scene(4)], ["a", "b", "c", "a", "d"]
    )
    loss = contrastive_loss(image, text, torch.tensor(2.0), same)
    assert loss.item() == pytest.approx(slow_loss(image, text, math.exp(2.0), same), rel=1e-5)


def test_what_means_the_same_is_no_mistake():
    same = same_meaning([scene(1), scene(1)], ["a", "b"])
    assert contrastive_loss(
        torch.eye(2), torch.eye(2).flip(0), torch.tensor(3.0), same
    ).item() == pytest.approx(0, abs=1e-6)


@pytest.fixture
def stage():
    parts = tiny.parts()
    return ClipStage(made_drawings(), parts["text_encoder"], parts["tokenizer"])


def test_no_checkpoint_holds_the_text_tower_and_it_does_not_learn(stage):
    names = [name for name, _ in stage.module.named_parameters()]
    assert {name.split(".")[0] for name in names} == {
        "vision_model",
        "visual_projection",
        "text_projection",
        "logit_scale",
    }
    stage.embed_texts(["a cat", "a dog"]).sum().backward()
    assert stage.module.text_projection.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in stage.text.parameters())


def test_another_text_encoder_has_another_checkpoint(tmp_path):
    folders = set()
    for scale in (1.0, 1.0, 2.0):
        parts = tiny.parts()
        with torch.no_grad():
            parts["text_encoder"].final_layer_norm.weight.mul_(scale)
        parts["text_encoder"].save_pretrained(tmp_path / f"{scale}/text_encoder")
        parts["tokenizer"].save_pretrained(tmp_path / f"{scale}/tokenizer")
        folders.add(checkpoint_folder(tmp_path, tmp_path / f"{scale}"))
    assert len(folders) == 2


def labelled(count: int, seed: int) -> Labelled:
    """Two clouds on a sphere."""
    g = torch.Generator().manual_seed(seed)
    unsafe = torch.rand(count, generator=g) < 0.5
    centre = torch.where(unsafe[:, None], 1.0, -1.0) * torch.eye(16)[0] * 0.6 + torch.eye(16)[1]
    embeddings = normalize(centre + 0.2 * torch.randn((count, 16), generator=g), dim=1)
    return Labelled(scenes=[], embeddings=embeddings, unsafe=unsafe)


def test_parts_that_cannot_be_written_stay_as_they_were(tmp_path, monkeypatch):
    """The CLIP, the scenes that it sees, and the detectors on top of it."""

    def full(*_):
        raise OSError(28, "No space left on device")

    files = [tmp_path / name for name in (WEIGHTS, SCENES, Q16_VECTORS)]
    for file in files:
        file.write_bytes(b"before")
    clip = new_clip(tiny.pipeline().text_encoder)
    shop = SimpleNamespace(
        folder=tmp_path, embed_texts=lambda _: torch.eye(2, 4), labelled=lambda *_: None
    )
    monkeypatch.setattr("training.clip_detectors.tune_prompts", lambda start, _: start)
    monkeypatch.setattr("os.replace", full)
    features = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    for save in (
        lambda: save_clip(clip, tmp_path),
        lambda: save_scenes(features, "a" * 64, tmp_path),
        lambda: make_detectors(shop),
    ):
        with pytest.raises(OSError, match="No space left"):
            save()
    assert [file.read_bytes() for file in files] == [b"before"] * 3


def test_prompts_are_tuned_until_they_tell_the_labels():
    start = torch.randn((2, 16), generator=torch.Generator().manual_seed(5))
    prompts = tune_prompts(start, labelled(400, 0))
    unseen = labelled(1000, 1)

    def right(vectors):
        cosines = unseen.embeddings @ normalize(vectors, dim=1).T
        return ((cosines[:, 1] > cosines[:, 0]) == unseen.unsafe).float().mean()

    assert right(prompts) > 0.97 > right(start)
    torch.testing.assert_close(prompts.norm(dim=1), torch.ones(2))
    assert torch.equal(prompts, tune_prompts(start, labelled(400, 0))), (
        "the same labels give the same vectors"
    )


def gain(cosines, unsafe, threshold) -> int:
    hits = cosines > threshold
    return int((hits & unsafe).sum()) - int((hits & ~unsafe).sum())


@given(st.lists(st.tuples(st.integers(-9, 9), st.booleans()), max_size=30))
def test_no_threshold_is_better_than_the_best(rows):
    cosines = torch.tensor([value / 10 for value, _ in rows])
    unsafe = torch.tensor([label for _, label in rows], dtype=torch.bool)
    best = gain(cosines, unsafe, best_threshold(cosines, unsafe))
    assert best == max(
        gain(cosines, unsafe, candidate) for candidate in np.arange(-1.05, 1.06, 0.1)
    )


@given(st.integers(0, 2**31))
def test_more_concepts_are_never_worse(seed):
    rng = torch.Generator().manual_seed(seed)
    unsafe = torch.rand(60, generator=rng) < 0.5
    cosines = torch.rand((60, 3), generator=rng) + 0.2 * unsafe[:, None]
    one, three = fit_thresholds(cosines[:, :1], unsafe), fit_thresholds(cosines, unsafe)
    hits = (cosines > three).any(dim=1)
    assert int((hits & unsafe).sum()) - int((hits & ~unsafe).sum()) >= gain(
        cosines[:, 0], unsafe, one[0]
    )


def test_where_nothing_is_unsafe_nothing_is_flagged():
    cosines = torch.rand((20, 4), generator=torch.Generator().manual_seed(0))
    assert not (cosines > fit_thresholds(cosines, torch.zeros(20, dtype=torch.bool))).any()


def test_every_unsafe_thing_is_in_one_concept():
    named = [name for group in CONCEPTS for name in words(group)]
    assert sorted(named) == sorted(thing.names[0] for thing in UNSAFE)
    assert len(CONCEPTS) == 17


def test_a_concept_points_from_safe_scenes_to_its_own():
    """Embeddings with a direction per group, and one loud direction that says nothing."""
    rng = np.random.default_rng(0)
    groups = [n for n, group in enumerate(CONCEPTS) for _ in range(6)]
    things = {thing.names[0]: n for n, thing in enumerate(THINGS)}
    scenes = [scene()] * 60 + [scene(things[words(CONCEPTS[n])[0]]) for n in groups]
    embeddings = torch.from_numpy(0.05 * rng.normal(size=(len(scenes), 20))).float()
    embeddings[:, 19] += torch.from_numpy(rng.normal(size=len(scenes))).float()
    for row, n in enumerate(groups):
        embeddings[60 + row, n] += 1
    unsafe = torch.arange(len(scenes)) >= 60
    seen = Labelled(scenes=scenes, embeddings=embeddings, unsafe=unsafe)
    found = concept_vectors(seen)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(17))
    assert found.argmax(dim=1).tolist() == list(range(17))
    assert found[:, 19].abs().max() < 0.2
    few = Labelled(scenes=scenes[:70], embeddings=embeddings[:70], unsafe=unsafe[:70])
    with pytest.raises(ValueError, match="no labelled scene shows any of"):
        concept_vectors(few)


def test_at_an_accelerator_scenes_are_embedded_alike_and_handed_out_on_the_cpu(monkeypatch):
    """By larger batches; the pixels of scenes are those of their files."""
    drawings = made_drawings()
    monkeypatch.setattr("training.clip_detectors.glyphs", lambda _: drawings)
    shop, large = Workshop(Path()), Workshop(Path(), place=Place(device="cpu", times=3))
    assert (shop.drawings.times, large.drawings.times) == (1, 3)
    rng = np.random.default_rng(0)
    scenes = [mixed_scene(rng) for _ in range(70)]
    calls = []
    embed = large.clip.get_image_features
    monkeypatch.setattr(
        large.clip,
        "get_image_features",
        lambda pixels: calls.append(len(pixels)) or embed(pixel_values=pixels),
    )
    found = large.features_of(scenes)
    assert calls == [70]
    wanted = shop.features([render(scene, drawings) for scene in scenes])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
    torch.testing.assert_close(large.embed_scenes(scenes), shop.embed_scenes(scenes))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The drawings."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, and it fetches the drawings")
    folder = tmp_path_factory.mktemp("training")
    try:
        fetch(folder)
    except subprocess.CalledProcessError:
        pytest.skip("the drawings cannot be fetched: npm reaches no registry")
    return folder


@pytest.mark.slow
def test_a_miniature_of_the_whole_way(work, tmp_path, monkeypatch):
    """With few scenes."""
    folder = tmp_path / "clip"
    monkeypatch.setattr(clip_measures, "SET", 32)
    train_clip(work, Budget(minutes=0.003, workers=1), PACKAGED, folder)
    make_detectors(Workshop(work, folder), count=200)
    figures = measure_clip(work, folder, count=40, sets=2)
    assert figures["right caption among 256"]["n"] == 2 * 32
    assert figures["detectors"]["embedded_q16"]["accuracy"]["n"] == 40
    counts = [
        part["n"]
        for kind in ("false negatives", "false positives")
        for part in figures["detectors"]["embedded_checker"][kind].values()
    ]
    assert sum(counts) == 40
    load_clip(folder)
    assert (load_checker(folder).concept_embeds.norm(dim=1) - 1).abs().max() < 1e-5
    assert (checkpoint_folder(work, PACKAGED) / "checkpoint.safetensors").exists()


@pytest.mark.slow
def test_without_minutes_the_clip_that_is_there_comes_to_stand_beside_the_text_encoder(
    work, tmp_path
):
    text, tokenizer = load_text(PACKAGED)
    with torch.no_grad():
        text.final_layer_norm.weight.mul_(1.1)
    text.save_pretrained(tmp_path / "text_encoder")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    train_clip(work, Budget(minutes=0, workers=1), tmp_path, tmp_path / "clip", start=CLIP)
    before, after = load_file(CLIP / WEIGHTS), load_file(tmp_path / "clip" / WEIGHTS)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    load_clip(tmp_path / "clip", tmp_path)
    with pytest.raises(UnsupportedError, match="text encoder"):
        load_clip(tmp_path / "clip", PACKAGED)


@pytest.mark.slow
def test_the_shipped_clip_finds_captions(work):
    """Far more often than by chance, which finds one of 256."""
    found = retrieval(Workshop(work), np.random.default_rng(0), mixed_scene)
    assert np.mean(found) > 0.4
    assert share(found)["n"] == 256
