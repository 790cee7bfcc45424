"""A CLIP that embeds images and texts, with a hash of everything that its embeddings depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from safelatent.detectors.images import COLOURS
from safelatent.detectors.pair import Pair, check_settings, load_pair
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.hashing import digest
from safelatent.models.clip_model import image_processor, load_clip, load_processor
from safelatent.storage import place
from safelatent.text import squeezed

EMBEDDED = "embedded"


@dataclass(frozen=True, kw_only=True, eq=False)
class Extractor:
    """A CLIP's two towers in evaluation mode.

    Pictures are converted to RGB and resized by PIL's bicubic filter, which antialiases; the size,
    crop and colours are those of the CLIP's own processor.

    Attributes:
        name: what it was loaded from.
        pair: a ``CLIPModel`` and its image processor.
        tokenizer: a ``CLIPTokenizer``.
        batch_size: images or texts per call.
    """

    name: str
    pair: Pair
    tokenizer: Any
    batch_size: int = 16

    @property
    def width(self) -> int:
        """Number of values per image or text."""
        return int(self.pair.model.config.projection_dim)

    @property
    def hash(self) -> str:
        """The sha256 of weights, architecture, colour handling, resizing and vocabulary."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        vocabulary = digest(sorted(self.tokenizer.get_vocab().items()))
        return digest({**self.pair.fingerprint(), "colours": COLOURS, "vocabulary": vocabulary})

    def images(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return the embeddings (N, D) of RGB pictures, not scaled to length 1."""
        batches = self.pair.batches(
            pictures,
            self.batch_size,
            lambda pixels: self.pair.model.get_image_features(pixel_values=pixels).pooler_output,
        )
        return self._stacked(list(batches))

    def loader(self) -> Callable[[], Extractor]:
        """Return what loads the same again, in another process on the same kind of device."""
        where = self.name if self.name == EMBEDDED else str(Path(self.name).absolute())
        device = self.pair.model.device.type
        return partial(extractor, where, batch_size=self.batch_size, device=device)

    def rows(self, groups: Sequence[tuple[Image.Image, ...]]) -> NDArray[np.float32]:
        """Return ``images`` of groups of one picture each."""
        return self.images([picture for (picture,) in groups])

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the embeddings (N, D) of texts, not scaled to length 1. Texts longer than the
        text tower takes are cut; ``too_long`` counts them.
        """
        import torch

        found: list[NDArray[Any]] = []
        for start in range(0, len(texts), self.batch_size):
            tokens = self.tokenizer(
                list(texts[start : start + self.batch_size]),
                padding=True,
                truncation=True,
                max_length=self._longest,
                return_tensors="pt",
            ).to(self.pair.model.device)
            with torch.no_grad():
                out = self.pair.model.get_text_features(**tokens).pooler_output
            found.append(out.float().cpu().numpy())
        return self._stacked(found)

    def too_long(self, texts: Sequence[str]) -> int:
        """Return how many texts have more tokens than the text tower takes."""
        return sum(len(self.tokenizer.tokenize(text)) + 2 > self._longest for text in texts)

    @property
    def _longest(self) -> int:
        return int(self.pair.model.config.text_config.max_position_embeddings)

    def _stacked(self, parts: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        empty = np.empty((0, self.width), dtype=np.float32)
        return np.concatenate([empty, *parts]).astype(np.float32)


def extractor(
    name: str | Path = EMBEDDED, *, batch_size: int = 16, device: str = "cpu"
) -> Extractor:
    """Load the extractor called ``name``; nothing is downloaded.

    Args:
        name: "embedded", or a folder with a ``transformers`` CLIP: config.json, safetensors
            weights, preprocessor_config.json and the tokenizer's files.
        batch_size: images or texts per call of the CLIP.
        device: where the CLIP runs.

    Raises:
        BadValueError: neither of the two, or a batch size below 1.
        UnsupportedError: the folder's files are missing, broken, or not safetensors.
    """
    check_settings(batch_size, 0.0)
    if str(name) == EMBEDDED:
        processor = load_processor()
        model: Any = load_clip()
        pair = Pair(model=model.to(device), processor=image_processor())
        return Extractor(
            name=EMBEDDED, pair=pair, tokenizer=processor.tokenizer, batch_size=batch_size
        )
    if not place(name, "the features").is_dir():
        raise BadValueError(
            f"the features cannot come from {str(name)!r}; name 'embedded' or a folder that holds"
            " a CLIP"
        )
    for file in ("config.json", "preprocessor_config.json"):
        if not (Path(name) / file).is_file():
            raise UnsupportedError(
                f"{str(name)!r} has no {file}; give a folder that holds a whole CLIP, with its"
                " image processor and tokenizer"
            )
    pair = load_pair(_clip, str(name), revision=None, device=device)
    pair.processor.do_resize, pair.processor.resample = True, Image.Resampling.BICUBIC
    return Extractor(
        name=str(name), pair=pair, tokenizer=_tokenizer(Path(name)), batch_size=batch_size
    )


def _clip() -> Any:
    from transformers import CLIPModel

    return CLIPModel


def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise UnsupportedError(
            f"cannot load the tokenizer in {str(folder)!r}: {squeezed(error)}"
        ) from error
