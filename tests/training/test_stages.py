"""A one-minute miniature of the whole way: fetch, tokenizer, autoencoder, generator, package; then
the judge and the card.
"""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
import torch

from safelatent import DEFAULT_CONCEPT, guard, load
from safelatent.detectors.pixel_judge import load_judge
from training import glyphs
from training.card import BEGIN, END, write_card
from training.judge import JudgeStage, both_named, judge, mush, new_judge, train_judge
from training.loop import Budget
from training.package import package
from training.scenes import STYLES
from training.stages import run
from training.texts import POOL, Text, make_pool, save
from training.vae import CHANNELS, fold_normalisation, new_vae, psnr, to_pictures, to_tensor
from training.vocabulary import SAFE, THINGS, UNSAFE


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Tokenizer, text encoder, autoencoder and generator after seconds of training each."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, and it fetches the drawings")
    folder = tmp_path_factory.mktemp("training")
    short = Budget(minutes=0.05, workers=1)
    try:
        run(("fetch",), folder, {})
    except subprocess.CalledProcessError:
        pytest.skip("the drawings cannot be fetched: npm reaches no registry")
    texts = [
        Text(text="the dog barked all night", source="example"),
        Text(text="a cake on a table", source="photograph", unsafe=0.0),
    ]
    texts += [Text(text="a fight", source="i2p", unsafe=0.6, categories=("violence",))]
    save(
        make_pool(
            lambda texts: (
                np.random.default_rng(0).normal(size=(len(texts), 384)).astype(np.float32)
            ),
            texts,
            {},
        ),
        folder / POOL,
    )
    learnt = ("vae", "names", "tower", "outlook", "generator", "scale")
    run(("tokenizer", "texts", *learnt), folder, dict.fromkeys(learnt, short))
    return folder


@pytest.mark.slow
def test_every_thing_is_drawn_in_every_style(work):
    drawn = glyphs.glyphs(work)
    assert tuple(drawn) == tuple(STYLES)
    for pictures in drawn.values():
        assert len(pictures) == len(THINGS)
        assert all(np.asarray(picture)[..., 3].max() > 0 for picture in pictures), (
            "an empty drawing"
        )


@pytest.mark.slow
def test_the_whole_way_ends_in_a_pipeline_that_can_be_guarded(work, tmp_path):
    pipe = load(str(package(work, tmp_path / "model")))
    pipe.set_progress_bar_config(disable=True)
    assert len(pipe.tokenizer(str(DEFAULT_CONCEPT)).input_ids) == 46
    out = guard(pipe, "max")("a penguin with a pistol", num_inference_steps=4)
    assert out.images[0].size == (64, 64)
    assert out.receipts[0].guided_steps == 4
    assert not list((tmp_path / "model").rglob("*.bin"))
    assert not any(str(work) in file.read_text() for file in (tmp_path / "model").rglob("*.json"))


@pytest.mark.slow
def test_the_judge_learns_and_answers(work):
    stage = JudgeStage(glyphs.glyphs(work))
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
    assert mush(rng, stage.drawings).shape == (64, 64, 3)
    assert stage.picture().size == (12 * 64, 4 * 64)


@pytest.mark.slow
def test_the_judge_is_trained_into_the_package_s_form(work, tmp_path):
    file = tmp_path / "judge.safetensors"
    train_judge(work, Budget(minutes=0.05, workers=1), file)
    net, (safe, unsafe) = load_judge(file)
    assert (len(safe), len(unsafe)) == (len(SAFE), len(UNSAFE))
    assert len(judge(net, [np.zeros((64, 64, 3), dtype=np.uint8)])) == 1


def test_a_verdict_a_picture():
    verdicts = judge(new_judge(), [np.zeros((64, 64, 3), dtype=np.uint8)] * 3)
    assert len(verdicts) == 3


def test_two_things_are_named_whichever_comes_first():
    """Of three made-up answers: both things, one of them, and both the other way round."""

    class Answers(torch.nn.Module):
        def forward(self, x):
            main = torch.zeros(3, len(SAFE) + 2)
            main[:, len(SAFE)] = 9.0  # "none" is no thing
            for row, (first, second) in enumerate([(4, 7), (4, 8), (7, 4)]):
                main[row, first], main[row, second] = 3.0, 2.0
            return main, torch.zeros(3, 1)

    pictures = [np.zeros((64, 64, 3), dtype=np.uint8)] * 3
    assert both_named(Answers(), pictures, [(4, 7)] * 3) == [True, False, True]


def test_folding_makes_the_latents_standard_and_keeps_the_pictures():
    torch.manual_seed(0)
    vae = new_vae().eval()
    x = torch.rand(32, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        vae.encoder.layers[-1].weight.mul_(0.01)  # small latents, where the squash is the identity
        vae.encoder.layers[-1].bias.fill_(0.001)
        before = vae.decoder(vae.encoder(x))
        deviation = vae.encoder(x).std()
        fold_normalisation(vae, x)
        z = vae.encoder(x)
        small = vae.decoder.layers(z)  # without the squash, which now sees latents of deviation 1
    assert deviation < 0.1
    torch.testing.assert_close(z.mean(dim=(0, 2, 3)), torch.zeros(CHANNELS), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std(dim=(0, 2, 3)), torch.ones(CHANNELS), atol=1e-4, rtol=0)
    inner = (small * 2 - 1 - before)[..., 8:-8, 8:-8]
    assert inner.abs().max() < 0.02


def test_psnr_by_its_definition():
    a = torch.zeros(2, 3, 4, 4)
    assert psnr(a + 0.2, a) == pytest.approx(10 * np.log10(4 / 0.04))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    assert np.array_equal(np.stack(to_pictures(to_tensor(list(pixels)))), pixels)


def test_the_card_is_written_between_its_marks(tmp_path):
    card = tmp_path / "CARD.md"
    card.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_card(["new"], card)
    assert card.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
