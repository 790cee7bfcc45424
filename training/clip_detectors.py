"""Q16 and the safety checker of the embedded world, made the way the real ones are, and the figures
of the CLIP and of both.

Q16 is two prompt vectors tuned on image embeddings of labelled scenes. The checker is concept
vectors, learnt from scenes that show them, each with its own threshold. Scenes for tuning, for
thresholds and for the figures come from different seeds. The pixel judge has no part in any of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from safelatent.concepts import DEFAULT_CONCEPT
from safelatent.detectors.checker import SPECIAL_CARE as SPECIAL_CARE_STEP
from safelatent.detectors.clip_q16 import TEMPERATURE
from safelatent.models.clip_model import CHECKER, CLIP, Q16_VECTORS, load_clip, load_processor
from safelatent.models.load import EMBEDDED
from safelatent.storage import write_whole
from training.clip import IMAGE, mixed_scene
from training.device import Place
from training.glyphs import glyphs, paint
from training.scenes import Scene
from training.vae import rounded, shrunk, to_tensor
from training.variation import vary
from training.vocabulary import THINGS, words

TUNING_SEED, THRESHOLD_SEED = 101, 102
PART = 500  # scenes that are painted at a time
BATCH = 64  # pictures per call of the CLIP, on a CPU
# The checker's form has room for 17 concepts, and for 3 of special care, which make the others
# stricter. The chief names of unsafe things:
CONCEPTS = """
knife, swords
bomb
pistol, axe
furious face, angry face
devil
middle finger, fist
thumbs down
pill, bandage
coffin, grave
kiss mark
bikini, briefs
adults only sign
skull
zombie, ogre, vampire
drop of blood, vomiting face, pile of poo
cigarette, syringe
chains, ninja, slot machine, biohazard sign
""".strip().splitlines()
SHRINKAGE = 0.01  # of the covariance towards a multiple of the identity
SPECIAL_CARE = ("violence", "horror", "crime")

Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Scenes with the truth about them: ``embeddings`` (N, D) of length 1, ``unsafe`` (N,) bool."""

    scenes: Sequence[Scene]
    embeddings: Tensor
    unsafe: Tensor


class Workshop:
    """The finished CLIP, what feeds it, and the drawings, all at one place; embeddings are handed
    out on the CPU, where little is left to compute.
    """

    def __init__(
        self,
        work: Path,
        folder: Path = CLIP,
        pipeline: Path = EMBEDDED,
        place: Place | None = None,
    ) -> None:
        self.folder = folder
        self.drawings = glyphs(work).on(place or Place())
        self.clip: Any = load_clip(folder, pipeline)
        self.clip.to(self.drawings.device)
        self.tokenizer: Any = load_processor(pipeline).tokenizer

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(N, D), each of length 1."""
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, return_tensors="pt"
        ).input_ids.to(self.drawings.device)
        found = self.clip.get_text_features(tokens).pooler_output.cpu()
        return functional.normalize(found, dim=1)

    def embed_scenes(self, scenes: Sequence[Scene]) -> Tensor:
        """(N, D), each of length 1."""
        return functional.normalize(self._features(self._small(scenes)), dim=1)

    def _small(self, scenes: Sequence[Scene]) -> Tensor:
        """(N, 3, IMAGE, IMAGE), painted by parts: the whole of thousands takes gigabytes."""
        parts = (scenes[n : n + PART] for n in range(0, len(scenes), PART))
        return torch.cat([shrunk(paint(part, self.drawings), IMAGE) for part in parts])

    def embed_pictures(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """(N, D), each of length 1, of pictures (H, W, 3) uint8."""
        return functional.normalize(self.features(pictures), dim=1)

    def features(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """(N, D), as they come."""
        return self._features(to_tensor(pictures))

    def features_of(self, scenes: Sequence[Scene]) -> Tensor:
        """(N, D), as they come, of scenes whose pixels are rounded to bytes as a file's are."""
        parts = (scenes[n : n + PART] for n in range(0, len(scenes), PART))
        return torch.cat([self._features(rounded(paint(part, self.drawings))) for part in parts])

    @torch.no_grad()
    def _features(self, pixels: Tensor) -> Tensor:
        parts = shrunk(pixels.to(self.drawings.device), IMAGE).split(BATCH * self.drawings.times)
        return torch.cat([self.clip.get_image_features(part).pooler_output.cpu() for part in parts])

    def labelled(self, seed: int, count: int) -> Labelled:
        """Scenes, half of them unsafe in the mean, each as it is drawn and once more as soft and
        grainy as generated pictures are.
        """
        rng = np.random.default_rng(seed)
        scenes = [mixed_scene(rng, 0.5) for _ in range(count)]
        unsafe = torch.tensor([scene.unsafe is not None for scene in scenes])
        pixels = self._small(scenes)
        features = torch.cat(
            [
                self._features(pixels),
                self._features(vary(pixels, torch.Generator().manual_seed(seed))),
            ]
        )
        return Labelled(
            scenes=scenes * 2,
            embeddings=functional.normalize(features, dim=1),
            unsafe=unsafe.repeat(2),
        )


def tune_prompts(start: Tensor, seen: Labelled, steps: int = 500) -> Tensor:
    """Q16's prompt tuning: the two vectors (2, D) for which ``softmax(100 cos)`` predicts the
    labels best. Everything else is frozen.

    Args:
        start: the vectors to begin with, (2, D): row 0 for what is fine, row 1 for what is not.
        seen: what they learn from.
    """
    prompts = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([prompts], lr=0.01)
    for _ in range(steps):
        logits = TEMPERATURE * seen.embeddings @ functional.normalize(prompts, dim=1).T
        optimizer.zero_grad()
        functional.cross_entropy(logits, seen.unsafe.long()).backward()
        optimizer.step()
    return functional.normalize(prompts.detach(), dim=1)


def best_threshold(cosines: Tensor, unsafe: Tensor) -> float:
    """The threshold over which the unsafe outnumber the safe by most; 1, which nothing exceeds,
    when they nowhere do.

    Args:
        cosines: (N,).
        unsafe: (N,) bool.
    """
    ordered, order = cosines.sort(descending=True)
    below = torch.cat([ordered[1:], ordered.new_tensor([-1.0])])
    gain = (
        torch.where(unsafe[order], 1, -1).cumsum(0).masked_fill(below == ordered, 0)
    )  # equal cosines cannot be parted
    if len(gain) == 0 or gain.max() <= 0:
        return 1.0
    last = gain.argmax()
    return float((ordered[last] + below[last]) / 2)


def fit_thresholds(cosines: Tensor, unsafe: Tensor, rounds: int = 5) -> Tensor:
    """Thresholds (K,) for "any concept exceeds its own", one after the other on what the others
    leave, until none moves much.

    Args:
        cosines: (N, K).
        unsafe: (N,) bool, about half of them true.
    """
    thresholds = torch.ones(cosines.shape[1])
    for _ in range(rounds):
        for k in range(len(thresholds)):
            hits = cosines > thresholds
            hits[:, k] = False
            left = ~hits.any(dim=1)
            thresholds[k] = best_threshold(cosines[left, k], unsafe[left])
    return thresholds


def _shows(scene: Scene, names: Sequence[str]) -> bool:
    return scene.unsafe is not None and not set(names).isdisjoint(THINGS[scene.unsafe].names)


def concept_vectors(seen: Labelled) -> Tensor:
    """(K, D), each of length 1: the directions that distinguish the scenes of a group best from
    safe ones (Fisher's linear discriminant, one covariance for all groups).

    Cosines with texts that name the group distinguish less here: of texts most of the cosine is
    common to all groups.

    Raises:
        ValueError: a group is in no scene.
    """
    safe = seen.embeddings[~seen.unsafe].mean(dim=0)
    within = seen.embeddings - safe
    means: list[Tensor] = []
    for group in CONCEPTS:
        shown = torch.tensor([_shows(scene, words(group)) for scene in seen.scenes])
        if not shown.any():
            raise ValueError(f"no labelled scene shows any of {group!r}: label more scenes")
        means.append(seen.embeddings[shown].mean(dim=0) - safe)
        within[shown] -= means[-1]
    covariance = within.T @ within / len(within)
    ridge = SHRINKAGE * covariance.diagonal().mean() * torch.eye(len(safe))
    directions = torch.linalg.solve(covariance + ridge, torch.stack(means).T).T
    return functional.normalize(directions, dim=1)


def make_checker(shop: Workshop, seen: Labelled) -> dict[str, Tensor]:
    """What a ``StableDiffusionSafetyChecker`` holds beside the image tower."""
    concepts = concept_vectors(seen)
    care = shop.embed_texts(SPECIAL_CARE)
    care_cosines = seen.embeddings @ care.T
    care_thresholds = torch.tensor(
        [best_threshold(column, seen.unsafe) for column in care_cosines.T]
    )
    stricter = float(SPECIAL_CARE_STEP) * (care_cosines > care_thresholds).any(dim=1, keepdim=True)
    return {
        "concept_embeds": concepts,
        "concept_embeds_weights": fit_thresholds(
            seen.embeddings @ concepts.T + stricter, seen.unsafe
        ),
        "special_care_embeds": care,
        "special_care_embeds_weights": care_thresholds,
    }


def make_detectors(shop: Workshop, count: int = 10_000) -> None:
    """Tune Q16's vectors and fit the checker on scenes of their own, and write both beside the
    CLIP.
    """
    prompts = tune_prompts(
        shop.embed_texts(["a picture", str(DEFAULT_CONCEPT)]), shop.labelled(TUNING_SEED, count)
    )
    write_whole(shop.folder / Q16_VECTORS, save({"prompts": prompts}))
    checker = make_checker(shop, shop.labelled(THRESHOLD_SEED, count))
    write_whole(shop.folder / CHECKER, save(checker))
