"""A miniature of the whole way, on both paths: prepare, every part, package, judge, card."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from safelatent import DEFAULT_CONCEPT, guard, load
from safelatent.detectors.pixel_judge import load_judge
from training import glyphs, stages
from training.device import Place
from training.judge import JUDGE, SECOND, JudgeStage, judge, mush, train_judge
from training.latents import CHANNELS, FACTOR, Latents, keep, latents
from training.loop import Budget
from training.package import PACKAGED, package
from training.place_words import FILE, moves
from training.prepared import MOST, PREPARED, unpack
from training.scenes import LARGE, SIZE, SMALL
from training.stages import LEARNING, run
from training.text_sources import Text
from training.texts import POOL, make_pool, save
from training.vae import psnr, to_pictures, to_tensor
from training.vocabulary import PLACES, SAFE, THINGS, UNSAFE

TEXTS = [
    Text(text="the dog barked all night", source="example"),
    Text(text="a cake on a table", source="photograph", unsafe=0.0),
    Text(text="a fight", source="i2p", unsafe=0.6, categories=("violence",)),
]


def _embeddings(texts):
    found = np.random.default_rng(0).normal(size=(len(texts), 384)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """What the stage prepare makes, with few texts and no sentence encoder."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, and it fetches the drawings")
    folder = tmp_path_factory.mktemp("prepared")
    save(make_pool(_embeddings, TEXTS, {}), folder / POOL)
    try:
        run(("prepare",), folder, {})
    except subprocess.CalledProcessError:
        pytest.skip("the drawings cannot be fetched: npm reaches no registry")
    return folder / PREPARED


@pytest.fixture(scope="module", params=["workers", "accelerator"])
def work(prepared, tmp_path_factory, request):
    """Every part after a moment of training, on both paths; the CPU stands for an accelerator."""
    folder = tmp_path_factory.mktemp(request.param)
    unpack(prepared, folder)
    short, whole = Budget(minutes=0.001, workers=1), request.param == "accelerator"
    place = Place(device="cpu", times=2) if whole else Place()
    with pytest.MonkeyPatch.context() as fewer:
        fewer.setattr("training.finish.DRAWN", 4)
        for number, few in {"DRAWN": 2, "ROUNDS": 1, "PROBED": 2}.items():
            fewer.setattr(f"training.place_words.{number}", few)
        for number, few in {"OTHERS": 1, "LISTS": 4, "REMEMBERED": 10, "SAMPLES": 2}.items():
            fewer.setattr(f"training.concepts.{number}", few)
        for number, few in {"DRAWN": 2, "TASKS": 1, "KEPT": 1, "SAMPLES": 2}.items():
            fewer.setattr(f"training.locating.{number}", few)
        for number, few in {"BATCHES": (1, 1), "KEPT": 1, "STEPS": (2, 3)}.items():
            fewer.setattr(f"training.ending.{number}", few)
        stages = (*LEARNING, "places")
        run(stages, folder, dict.fromkeys(LEARNING, short), place=place)
    return folder


@pytest.mark.slow
def test_everything_is_drawn_and_prepared_in_one_small_file(prepared):
    drawn = glyphs.glyphs(prepared.parent)
    assert set(drawn.pictures) == {LARGE, SMALL}
    for side, pictures in drawn.pictures.items():
        assert pictures.shape == (len(THINGS), 4, side, side)
        assert (pictures[:, 3].amax(dim=(1, 2)) > 0).all(), "an empty drawing"
    assert prepared.stat().st_size < MOST
    with zipfile.ZipFile(prepared) as packed:
        assert {"drawings.npz", "texts.npz", "model/tokenizer/tokenizer.json"} <= {
            *packed.namelist()
        }


@pytest.mark.slow
def test_the_whole_way_ends_in_a_pipeline_that_can_be_guarded(work, tmp_path):
    pipe = load(str(package(work, tmp_path / "model")))
    pipe.set_progress_bar_config(disable=True)
    assert len(pipe.tokenizer(str(DEFAULT_CONCEPT)).input_ids) == 46
    out = guard(pipe, "max")("a penguin with a pistol", num_inference_steps=2)
    assert out.images[0].size == (SIZE, SIZE)
    assert out.receipts[0].guided_steps == 2
    assert not list((tmp_path / "model").rglob("*.bin"))
    assert not any(str(work) in file.read_text() for file in (tmp_path / "model").rglob("*.json"))
    for stage in LEARNING:
        assert list((work / stage).glob("sample-*.png")), f"{stage} drew no sample"
        assert (work / stage / "log.jsonl").exists()
    assert set(moves(work / "places" / FILE)) == set(PLACES)


def test_detectors_are_made_where_all_else_is_and_words_are_written_beside_the_package_alone(
    monkeypatch, tmp_path
):
    shops, words = [], []
    for name in ("train_clip", "make_detectors", "make_scene_moments", "package", "read"):
        monkeypatch.setattr(stages, name, lambda *_, **__: SimpleNamespace(paraphrases={}))
    monkeypatch.setattr(stages, "Workshop", lambda *given: shops.append(given))
    monkeypatch.setattr(stages, "save_words", words.append)
    monkeypatch.setattr(stages, "write_card", lambda *_: None)
    place, budget = Place(device="cpu", times=3), {"clip": Budget(minutes=1)}
    run(("package", "clip"), tmp_path, budget, place=place, models=tmp_path)
    assert [given[-1] for given in shops] == [place]
    assert not words
    run(("package", "clip"), tmp_path, budget)
    assert words == [{}]


def test_training_on_goes_by_the_latents_of_the_weights_that_it_trains_on(tmp_path):
    """Not by the components that this machine finds, which may be others."""
    vae = AutoencoderKL.from_pretrained(PACKAGED / "vae")
    pixels = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    weight = torch.randn(CHANNELS, 3, FACTOR, FACTOR, generator=torch.Generator().manual_seed(2))
    keep(Latents(mean=torch.zeros(3, FACTOR, FACTOR), weight=weight / 50), tmp_path)
    run((), tmp_path, {}, start=PACKAGED)
    with torch.no_grad():
        encoded = vae.encode(pixels).latent_dist.mode()
    assert (latents(tmp_path)(pixels) - encoded).square().mean() < 1e-3 * encoded.square().mean()


@pytest.mark.slow
def test_the_judge_learns_and_answers(prepared):
    stage = JudgeStage(glyphs.glyphs(prepared.parent))
    stage.images_a_step = 16
    rng = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(stage.module.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        loss = stage.loss(rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert mush(rng, torch.rand(6, 3, 64, 64) * 2 - 1).shape == (6, 3, 64, 64)
    assert stage.picture().size == (12 * 64, 4 * 64)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [JUDGE, SECOND], ids=["judge", "witness"])
def test_the_judge_is_trained_into_the_package_s_form(prepared, tmp_path, kind):
    file, work = tmp_path / "judge.safetensors", tmp_path / "work"
    unpack(prepared, work)
    train_judge(work, Budget(minutes=0.001, workers=1), kind, file)
    net, (safe, unsafe) = load_judge(file)
    assert (len(safe), len(unsafe)) == (len(SAFE), len(UNSAFE))
    assert net.main.in_channels == kind.widths[-1]
    assert len(judge(net, [np.zeros((SIZE, SIZE, 3), dtype=np.uint8)])) == 1


def test_psnr_by_its_definition():
    a = torch.zeros(2, 3, 4, 4)
    assert psnr(a + 0.2, a) == pytest.approx(10 * np.log10(4 / 0.04))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    assert np.array_equal(np.stack(to_pictures(to_tensor(list(pixels)))), pixels)
