"""The judge: a small classifier of pixels, trained on real scenes only, that measures the generator
and never teaches it. And the witness, another one, which must agree where pictures are searched
for what the judge takes wrongly.

Two answers for a picture: its main thing (one of the safe ones, none, or *nothing recognisable*),
and its unsafe thing (or none). Destroyed pictures have an answer of their own, so that destroying a
picture does not count as making it safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from safelatent.detectors.pixel_judge import SIZE, WEIGHTS, WITNESS, JudgeNet, save_judge
from training.device import Place, half_precision
from training.glyphs import Glyphs, glyphs, paint
from training.loop import Budget, load_average, train
from training.scenes import Scene, random_scene, without_unsafe
from training.vae import sheet, shrunk, to_pictures, to_tensor
from training.variation import vary
from training.vocabulary import SAFE, UNSAFE

NO_MAIN, MUSH = len(SAFE), len(SAFE) + 1
NO_UNSAFE = len(UNSAFE)
_KINDS = {"single": 0.34, "addition": 0.26, "unsafe": 0.06, "pair": 0.22, "mush": 0.12}


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """What a classifier is made of and learns from.

    Attributes:
        widths: of its parts.
        smears: share of pictures with something unsafe in which that becomes a smear, and the
            right answer that nothing unsafe is shown.
        seed: of its training.
        file: where its weights go.
    """

    widths: tuple[int, ...]
    smears: float = 0.0
    seed: int
    file: Path


JUDGE = Classifier(widths=(24, 48, 96, 192, 256), seed=7, file=WEIGHTS)
# narrower, and taught what the judge was not: that a smear shows nothing
SECOND = Classifier(widths=(16, 32, 64, 128, 160), smears=0.4, seed=11, file=WITNESS)


def new_judge(which: Classifier = JUDGE) -> JudgeNet:
    """Untrained."""
    return JudgeNet(len(SAFE), len(UNSAFE), which.widths)


def mush(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Pictures in which nothing can be recognised, from those of scenes, (B, 3, SIZE, SIZE).

    A third is heavily blurred, a third shows several scenes in one, a third is shuffled pieces.
    """
    kind = torch.from_numpy(rng.integers(3, size=len(pixels))).to(pixels.device)[
        :, None, None, None
    ]
    blurred = functional.interpolate(functional.avg_pool2d(pixels, 16), size=SIZE, mode="bicubic")
    several = (pixels + pixels.roll(1, 0) + pixels.roll(2, 0)) / 3
    side = SIZE // 8
    pieces = functional.unfold(pixels, side, stride=side)
    order = torch.from_numpy(rng.permutation(pieces.shape[2])).to(pixels.device)
    shuffled = functional.fold(pieces.roll(1, 0)[:, :, order], SIZE, side, stride=side)
    shuffled = functional.avg_pool2d(functional.pad(shuffled, (2, 2, 2, 2), mode="replicate"), 5, 1)
    return torch.where(kind == 0, blurred, torch.where(kind == 1, several, shuffled)).clamp(-1, 1)


def smeared(rng: np.random.Generator, bare: Tensor, things: Tensor) -> Tensor:
    """Pictures ``bare`` with a smear where ``things`` show more, all (B, 3, SIZE, SIZE).

    Half of the smears are heavily blurred, half are three things in one; of fewer than three
    pictures, all are blurred.
    """
    difference = things - bare
    blurred = functional.avg_pool2d(difference, 13, 1, 6, count_include_pad=False)
    several = sum(difference.roll(by, 0) for by in range(3)) / 3
    several = functional.avg_pool2d(several, 3, 1, 1, count_include_pad=False)
    joined = torch.from_numpy((rng.random(len(bare)) < 0.5) & (len(bare) >= 3)).to(bare.device)
    return (bare + torch.where(joined[:, None, None, None], several, blurred)).clamp(-1, 1)


def _targets(scene: Scene | None) -> tuple[np.ndarray, int]:
    """The main answer as probabilities (of a pair two are right), the unsafe one as a class."""
    main = np.zeros(NO_MAIN + 2, dtype=np.float32)
    if scene is None:
        main[MUSH] = 1
        return main, NO_UNSAFE
    right = scene.safe or (NO_MAIN,)
    main[list(right)] = 1 / len(right)
    return main, NO_UNSAFE if scene.unsafe is None else scene.unsafe - len(SAFE)


class JudgeStage:
    """Scenes and ruined ones."""

    learning_rate = 1.5e-3
    average = 0.995
    images_a_step = 48

    def __init__(self, drawings: Glyphs, which: Classifier = JUDGE) -> None:
        self.drawings, self.smears = drawings, which.smears
        self.images_a_step = self.images_a_step * drawings.times
        self.module: Any = new_judge(which).to(drawings.device)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[Tensor, list[Scene | None]]:
        """Pictures (size, 3, SIZE, SIZE), and the scenes they show; a ruined one shows None."""
        kinds = rng.choice(list(_KINDS), size=size, p=list(_KINDS.values()))
        ruined = [kind == "mush" for kind in kinds]
        scenes = [random_scene(rng, None if kind == "mush" else str(kind)) for kind in kinds]
        pixels = shrunk(paint(scenes, self.drawings), SIZE)
        scenes, pixels = self._with_smears(rng, scenes, pixels)
        chosen = torch.tensor(ruined, device=pixels.device)[:, None, None, None]
        pixels = vary(torch.where(chosen, mush(rng, pixels), pixels))
        shift = tuple(int(by) for by in rng.integers(-3, 4, size=2))
        shown = [None if lost else scene for scene, lost in zip(scenes, ruined, strict=True)]
        return pixels.roll(shift, dims=(2, 3)), shown

    def _with_smears(
        self, rng: np.random.Generator, scenes: list[Scene], pixels: Tensor
    ) -> tuple[list[Scene], Tensor]:
        """The scenes and their pictures; of some, what is unsafe becomes a smear beside the rest,
        and the scene is what is left of it.
        """
        if not self.smears:
            return scenes, pixels
        scenes = list(scenes)
        unsafe = [n for n, one in enumerate(scenes) if one.unsafe is not None and one.safe]
        if rows := [n for n in unsafe if rng.random() < self.smears]:
            for n in rows:
                scenes[n] = without_unsafe(scenes[n])
            bare = shrunk(paint([scenes[n] for n in rows], self.drawings), SIZE)
            pixels[rows] = smeared(rng, bare, pixels[rows])
        return scenes, pixels

    def loss(self, rng: np.random.Generator) -> Tensor:
        x, scenes = self.batch(rng, self.images_a_step)
        mains, unsafes = zip(*(_targets(scene) for scene in scenes), strict=True)
        with half_precision(x.device):
            main, unsafe = self.module(x)
        main_loss = functional.cross_entropy(
            main.float(), torch.from_numpy(np.stack(mains)).to(x.device)
        )
        return main_loss + functional.cross_entropy(
            unsafe.float(), torch.tensor(unsafes, device=x.device)
        )

    def picture(self) -> Image.Image:
        return sheet(to_pictures(self.batch(np.random.default_rng(1), 48)[0]), 12)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the judge says of one picture: the main thing, the unsafe thing (indices into THINGS, or
    None), and whether it is usable.
    """

    main: int | None
    unsafe: int | None
    usable: bool


@torch.no_grad()
def judge(model: JudgeNet, pictures: Sequence[np.ndarray]) -> list[Verdict]:
    """A verdict per picture, (H, W, 3) uint8."""
    model.eval()
    main, unsafe = model(shrunk(to_tensor(pictures), SIZE))
    verdicts: list[Verdict] = []
    for m, u in zip(main.argmax(dim=1).tolist(), unsafe.argmax(dim=1).tolist(), strict=True):
        usable = m != MUSH
        shown = u != NO_UNSAFE
        verdicts.append(
            Verdict(
                main=m if m < NO_MAIN else None,
                unsafe=len(SAFE) + u if shown else None,
                usable=usable,
            )
        )
    return verdicts


@torch.no_grad()
def likelihoods(model: JudgeNet, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """How likely each safe thing is in each picture, (H, W, 3) uint8: (B, things), of 1 together
    with those of no thing and of nothing recognisable.
    """
    main, _ = model.eval()(shrunk(to_tensor(pictures), SIZE))
    return main.softmax(dim=1)[:, : len(SAFE)].numpy()


@torch.no_grad()
def both_named(
    model: JudgeNet, pictures: Sequence[np.ndarray], pairs: Sequence[Sequence[int]]
) -> list[bool]:
    """Are the two things that the judge thinks likeliest in each picture, (H, W, 3) uint8, those of
    its pair?
    """
    main, _ = model.eval()(shrunk(to_tensor(pictures), SIZE))
    likeliest = main[:, : len(SAFE)].topk(2, dim=1).indices.tolist()
    return [set(found) == set(pair) for found, pair in zip(likeliest, pairs, strict=True)]


def judge_stage(work: Path, place: Place, which: Classifier) -> JudgeStage:
    """The stage on the drawings below ``work``."""
    return JudgeStage(glyphs(work).on(place), which)


def train_judge(
    work: Path,
    budget: Budget,
    which: Classifier = JUDGE,
    file: Path | None = None,
    place: Place | None = None,
) -> None:
    """Train, from the checkpoint when there is one, and write the classifier to ``file`` (default:
    where the package looks for it).
    """
    file = file or which.file
    model, folder = new_judge(which), work / file.stem
    make = partial(judge_stage, work, place or Place(), which)
    load_average(model, train(make, folder, replace(budget, seed=which.seed)))
    save_judge(
        model, [t.names[0] for t in SAFE], [(t.names[0], t.category or "") for t in UNSAFE], file
    )
