"""How toxic the text of a prompt is, from 0 to 1, by a model on this machine. Knows texts; does not
know prompts or images.

I2P's own column comes from a service (Perspective's TOXICITY). This is another model with another
scale: the two are not comparable.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

from safelatent.errors import UnsupportedError

Scorer = Callable[[Sequence[str]], Sequence[float]]

DETOXIFY = "detoxify original"
SHA256 = (
    "c1212f89"  # of the weights: the first digits, which their publisher put into the file's name
)
BATCH = 16


def toxicities(texts: Sequence[str], scorer: Scorer) -> Iterator[float]:
    """The toxicity of each text, in their order, rounded to 6 digits.

    Raises:
        UnsupportedError: the scorer gives too many or too few numbers, or one that is none from 0
            to 1.
    """
    for start in range(0, len(texts), BATCH):
        batch = list(texts[start : start + BATCH])
        values = [float(value) for value in scorer(batch)]
        if len(values) != len(batch):
            raise UnsupportedError(
                f"the toxicity model gives {len(values)} numbers for {len(batch)} texts; use another version of it"
            )
        for text, value in zip(batch, values, strict=True):
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise UnsupportedError(
                    f"the toxicity model gives {value} for {text[:40]!r}; it must be a number from 0 to 1"
                )
            yield round(value, 6)


def detoxify() -> Scorer:
    """Detoxify's model "original" (BERT on the Jigsaw comments), on the CPU. Downloads 420 MB when
    they are not in torch's cache.

    The weights are a pickle. They are taken only with the expected hash, and only tensors and plain
    values are read of them.

    Raises:
        UnsupportedError: the package is not installed, or the weights cannot be had or are others.
    """
    try:
        package = import_module("detoxify")
        address = import_module("detoxify.detoxify").MODEL_URLS["original"]
    except ImportError:
        raise UnsupportedError(
            'prompt toxicity needs detoxify; run pip install "safelatent[toxicity]", or leave --toxicity out'
        ) from None
    from pickle import UnpicklingError  # the error alone

    try:
        # Given a file, Detoxify reads it by torch.load, which since torch 2.6 runs no code of a
        # pickle; given none, it would.
        model = package.Detoxify(checkpoint=str(_weights(address)))
    except (OSError, ValueError, RuntimeError, UnpicklingError) as error:
        raise UnsupportedError(f"cannot load detoxify: {' '.join(str(error).split())}") from error
    return lambda texts: model.predict(list(texts))["toxicity"]


def _weights(address: str) -> Path:
    """The file of the weights, from torch's cache or else downloaded, with the expected hash."""
    from torch import hub

    file = Path(hub.get_dir()) / "checkpoints" / address.rsplit("/", 1)[-1]
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        hub.download_url_to_file(address, str(file), hash_prefix=SHA256)
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not found.startswith(SHA256):
        raise UnsupportedError(
            f"the sha256 of {file} begins with {found[:8]}, not {SHA256}; remove the file, it is damaged or another"
        )
    return file
