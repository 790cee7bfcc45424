"""An extractor without a network: the mean colour of a picture. As a program it embeds a folder
slowly and says so, for tests that kill it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class MeanColour:
    name: str = "mean colour"
    hash: str = "c" * 64
    width: int = 3
    seconds: float = 0.0  # per call
    published: bool = False

    def loader(self) -> Callable[[], MeanColour]:
        return MeanColour

    def rows(self, groups: Sequence[tuple[Image.Image, ...]]) -> NDArray[np.float32]:
        time.sleep(self.seconds)
        means = [
            np.mean([np.asarray(p).mean(axis=(0, 1)) for p in group], axis=0) for group in groups
        ]
        return np.array(means, dtype=np.float32)


def main(pictures: Path, cache: Path) -> None:
    from safelatent.features import stored

    stored.PART = 2
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    print("begun", flush=True)
    stored.image_features(sorted(pictures.glob("*.png")), MeanColour(seconds=0.05), cache)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
