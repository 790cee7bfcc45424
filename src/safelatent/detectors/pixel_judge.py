"""The judge of the embedded world: a small classifier of pixels, trained on real scenes only. It
shares nothing with any other model.

It names the main thing of a picture (one of the safe ones, none, or *nothing recognisable*) and
its unsafe thing (or none). A destroyed picture is unusable, so that destroying a picture does not
count as making it safe. How it was trained: ``training/judge.py``.

Whoever searches for pictures that it calls unsafe finds its mistakes. There a witness must agree:
another one, trained apart, and on smears too, which the judge takes for things.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from safelatent.detectors.contract import Finding, Json
from safelatent.hashing import file_digest
from safelatent.storage import write_whole

WEIGHTS = Path(__file__).parents[1] / "models/judge/judge.safetensors"
WITNESS = WEIGHTS.with_name("witness.safetensors")
SIZE = 64  # pixels, both ways
# What both must exceed in a search, which meets everything that is merely likelier than not. Of the
# unsafe things that the judge names in unguarded pictures 98 % do (99 % exceed 0.5); of 81 pictures
# that a search with 0.5 ended at, and in which nobody sees anything unsafe, 28 %.
SURE = 0.95


class _Block(nn.Module):
    """Two convolutions with a shortcut; halves the picture."""

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(narrow, wide, 3, 2, 1), nn.Conv2d(wide, wide, 3, 1, 1)
        self.short = nn.Conv2d(narrow, wide, 1, 2)
        self.norms = nn.ModuleList([nn.GroupNorm(8, wide), nn.GroupNorm(8, wide)])

    def forward(self, x: Tensor) -> Tensor:
        y = functional.silu(self.norms[0](self.first(x)))
        return functional.silu(self.norms[1](self.second(y)) + self.short(x))


class JudgeNet(nn.Module):
    """(B, 3, 64, 64) in [-1, 1] to logits of the main thing (B, ``safe`` + 2) and of the unsafe
    thing (B, ``unsafe`` + 1).

    The last two of the first are *none* and *nothing recognisable*, the last of the second is
    *none*. Every place of the picture gives its own logits, and the strongest count (log-sum-exp
    over the places), so that a thing is recognised wherever it is and whatever is next to it.
    """

    def __init__(self, safe: int, unsafe: int, widths: Sequence[int]) -> None:
        super().__init__()
        blocks = [_Block(narrow, wide) for narrow, wide in pairwise(widths)]
        self.body = nn.Sequential(nn.Conv2d(3, widths[0], 3, 1, 1), *blocks)
        self.main = nn.Conv2d(widths[-1], safe + 2, 1)
        self.unsafe = nn.Conv2d(widths[-1], unsafe + 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = functional.dropout(self.body(x), 0.2, self.training)
        return self.main(y).logsumexp(dim=(2, 3)), self.unsafe(y).logsumexp(dim=(2, 3))


@dataclass(frozen=True, kw_only=True)
class PixelJudge:
    """The judge as a detector; inappropriate iff an unsafe thing is more likely present than not:
    ``score > threshold``.

    Attributes:
        weights: of the judge.
        witness: weights of another one; then the lower of both scores counts. What is shown, and
            whether anything can be recognised, the judge says alone.
    """

    weights: Path
    threshold: float = 0.5
    name: str = "judge"
    witness: Path | None = None

    def fingerprint(self) -> dict[str, Json]:
        weights = file_digest(self.weights)
        found: dict[str, Json] = {"name": self.name, "weights": weights}
        if self.witness is not None:
            found["witness"] = file_digest(self.witness)
        return found | {"threshold": self.threshold}

    def score(self, images: Sequence[Image.Image]) -> list[Finding]:
        pixels = _pixels(images)
        with torch.no_grad():
            main, unsafe = (logits.softmax(dim=1) for logits in self._net(pixels))
            scores = 1 - unsafe[:, -1]
            if self._second is not None:
                seen = self._second(pixels)[1].softmax(dim=1)
                scores = torch.minimum(scores, 1 - seen[:, -1])
        return [self._finding(*one) for one in zip(main, unsafe, scores.tolist(), strict=True)]

    def _finding(self, main: Tensor, unsafe: Tensor, score: float) -> Finding:
        safe_names, unsafe_names = self._names
        shown = int(main.argmax())
        evidence: dict[str, Json] = {"main": [*safe_names, "none", "nothing recognisable"][shown]}
        inappropriate = score > self.threshold
        if inappropriate:
            evidence["unsafe"], evidence["category"] = unsafe_names[int(unsafe[:-1].argmax())]
        return Finding(
            score=score,
            inappropriate=inappropriate,
            evidence=evidence,
            usable=shown != len(safe_names) + 1,
        )

    @cached_property
    def _stored(self) -> tuple[JudgeNet, tuple[list[str], list[list[str]]]]:
        return load_judge(self.weights)

    @cached_property
    def _second(self) -> JudgeNet | None:
        return None if self.witness is None else load_judge(self.witness)[0]

    @property
    def _net(self) -> JudgeNet:
        return self._stored[0]

    @property
    def _names(self) -> tuple[list[str], list[list[str]]]:
        return self._stored[1]


def load_judge(file: Path = WEIGHTS) -> tuple[JudgeNet, tuple[list[str], list[list[str]]]]:
    """Return the network in single precision; with it the names of the safe things, and names and
    categories of the unsafe ones.
    """
    with safe_open(file, "pt") as stored:
        names = json.loads(stored.metadata()["names"])
        weights = {key: stored.get_tensor(key).float() for key in stored.keys()}  # noqa: SIM118  # no mapping
    net = JudgeNet(len(names["safe"]), len(names["unsafe"]), _widths(weights))
    net.load_state_dict(weights)
    return net.eval(), (names["safe"], names["unsafe"])


def _widths(weights: Mapping[str, Tensor]) -> list[int]:
    """Channels of the network's parts, from the shapes of its weights."""
    blocks = sum(key.endswith("short.weight") for key in weights)
    sides = [weights[f"body.{n}.short.weight"].shape[0] for n in range(1, blocks + 1)]
    return [weights["body.0.weight"].shape[0], *sides]


def save_judge(
    net: JudgeNet, safe: Sequence[str], unsafe: Sequence[tuple[str, str]], file: Path
) -> None:
    """Write the weights in half precision, with the names of the safe things, and names and
    categories of the unsafe ones.
    """
    names = json.dumps({"safe": list(safe), "unsafe": [list(pair) for pair in unsafe]})
    weights = {key: value.half().contiguous() for key, value in net.state_dict().items()}
    write_whole(file, save(weights, {"names": names}))


def _pixels(images: Sequence[Image.Image]) -> Tensor:
    """(B, 3, 64, 64) in [-1, 1]."""
    resized = [
        image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS) for image in images
    ]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in resized]))
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
