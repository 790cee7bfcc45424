"""How toxic the text of a prompt is, from 0 to 1, by a model on this machine.

I2P's own column comes from a service (Perspective's TOXICITY). This is another model with another
scale: the two are not comparable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from safelatent.errors import UnsupportedError
from safelatent.hashing import file_digest
from safelatent.optional import require
from safelatent.text import squeezed

Scorer = Callable[[Sequence[str]], Sequence[float]]

DETOXIFY = "detoxify original"
SHA256 = "c1212f89"  # the first digits of the weights' hash, as their publisher's file name has it
BATCH = 16


def toxicities(texts: Sequence[str], scorer: Scorer) -> Iterator[float]:
    """Yield the toxicity of each text, in their order, rounded to 6 digits.

    Raises:
        UnsupportedError: the scorer returns too many or too few numbers, or one that is not from 0
            to 1.
    """
    for start in range(0, len(texts), BATCH):
        batch = list(texts[start : start + BATCH])
        values = [float(value) for value in scorer(batch)]
        if len(values) != len(batch):
            raise UnsupportedError(
                f"the toxicity model returns {len(values)} numbers for {len(batch)} texts; use"
                " another version of it"
            )
        for text, value in zip(batch, values, strict=True):
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise UnsupportedError(
                    f"the toxicity model returns {value} for {text[:40]!r}; it must be a number"
                    " from 0 to 1"
                )
            yield round(value, 6)


def detoxify() -> Scorer:
    """Load Detoxify's model "original" (BERT on the Jigsaw comments), on the CPU. Downloads 420 MB
    unless they are in torch's cache.

    The weights are a pickle. They are used only with the expected hash, and only tensors and plain
    values are read from them.

    Raises:
        UnsupportedError: the package is not installed, or the weights cannot be loaded or are not
            the expected ones.
    """
    package = require("detoxify", extra="toxicity", purpose="prompt toxicity (--toxicity)")
    module = require("detoxify.detoxify", extra="toxicity", purpose="prompt toxicity (--toxicity)")
    address = module.MODEL_URLS["original"]
    from pickle import UnpicklingError  # only the error

    try:
        # With a file, Detoxify calls torch.load, which since torch 2.6 runs no code in a pickle;
        # without one, it would.
        model = package.Detoxify(checkpoint=str(_weights(address)))
    except (OSError, ValueError, RuntimeError, UnpicklingError) as error:
        raise UnsupportedError(f"cannot load detoxify: {squeezed(error)}") from error
    return lambda texts: model.predict(list(texts))["toxicity"]


def _weights(address: str) -> Path:
    """Return the file of the weights, from torch's cache or else downloaded, with the expected
    hash.
    """
    from torch import hub

    file = Path(hub.get_dir()) / "checkpoints" / address.rsplit("/", 1)[-1]
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        hub.download_url_to_file(address, str(file), hash_prefix=SHA256)
    found = file_digest(file)
    if not found.startswith(SHA256):
        raise UnsupportedError(
            f"the sha256 of {file} begins with {found[:8]}, not {SHA256}; it is damaged or another"
            " file: remove it"
        )
    return file
