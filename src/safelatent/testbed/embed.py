"""Texts to CLIP embeddings: how a text tower is loaded, hashed and called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from safelatent.detectors.clip_q16 import OPENAI_CLIP, OPENAI_COMMIT
from safelatent.detectors.pair import weights_sha256
from safelatent.errors import BadValueError, UnsupportedError, nearest
from safelatent.hashing import digest
from safelatent.hub import check_commit, is_hub_id
from safelatent.text import squeezed

Floats = NDArray[np.float32]

EMBEDDED = "embedded"
BLOCK = 1024  # texts whose embeddings are in memory at once
BATCH = 32  # texts in one call


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """Embeddings (n, D) of n texts as the model returns them, and the number of texts that are too
    long and were cut.
    """

    vectors: Floats
    cut: int


@dataclass(frozen=True, kw_only=True, eq=False)
class TextEmbedder:
    """CLIP's text tower, its projection and its tokenizer, in evaluation mode on any device."""

    name: str
    tower: Any
    projection: Any
    tokenizer: Any

    @property
    def positions(self) -> int:
        """Number of tokens that are read of a text, including those that begin and end it."""
        return int(self.tower.config.max_position_embeddings)

    @cached_property
    def sha256(self) -> str:
        """Hash of the weights and the tokens."""
        from torch import nn

        parts = nn.ModuleDict({"tower": self.tower, "projection": self.projection})
        return digest([weights_sha256(parts), self.tokenizer.get_vocab()])

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embed the texts, one embedding per text, in their order. A text does not change its
        neighbours' embeddings beyond rounding.

        Raises:
            UnsupportedError: an embedding is not finite.
        """
        tokens = self.tokenizer(list(texts), truncation=False, verbose=False)
        rows: list[list[int]] = tokens.input_ids
        most = self.positions
        cut = sum(len(row) > most for row in rows)
        # The end token stays at the end.
        rows = [row if len(row) <= most else [*row[: most - 1], row[-1]] for row in rows]
        vectors = np.empty((len(rows), self.projection.out_features), np.float32)
        # By length, so that there is little to fill up within a batch.
        order = sorted(range(len(rows)), key=lambda n: len(rows[n]))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            vectors[batch] = self._call([rows[n] for n in batch])
        if not np.isfinite(vectors).all():
            raise UnsupportedError(
                f"the embedder {self.name!r} returns numbers that are not finite; its weights are"
                " damaged: name another"
            )
        return Embedded(vectors=vectors, cut=cut)

    def blocks(self, texts: Sequence[str]) -> Iterator[Embedded]:
        """Embed the texts ``BLOCK`` at a time."""
        for start in range(0, len(texts), BLOCK):
            yield self.embed(texts[start : start + BLOCK])

    def _call(self, rows: Sequence[Sequence[int]]) -> Floats:
        import torch

        longest, device = len(rows[-1]), self.projection.weight.device
        # Filled up with the end token, of which the tower uses the first.
        filled = [[*row, *[row[-1]] * (longest - len(row))] for row in rows]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        ids, read = torch.tensor(filled, device=device), torch.tensor(mask, device=device)
        with torch.no_grad():
            pooled = self.tower(input_ids=ids, attention_mask=read).pooler_output
            return self.projection(pooled).float().cpu().numpy()


def check_embedder(name: str, revision: str | None) -> None:
    """Refuse what cannot be an embedder, before anything is loaded.

    Raises:
        BadValueError: the name is neither "embedded" nor a folder nor a Hub id, or it is a Hub id
            without its commit, or something else with one.
    """
    local = name == EMBEDDED or (bool(name) and Path(name).is_dir())
    if not local and not is_hub_id(name):
        hint = nearest(name, [EMBEDDED, OPENAI_CLIP])
        raise BadValueError(
            f"unknown embedder {name!r}{hint}; name 'embedded', a folder with a CLIP, or a Hub id"
            f" like {OPENAI_CLIP!r}"
        )
    if local and revision is not None:
        raise BadValueError(
            f"the embedder's revision is {revision!r}, and {name!r} is not a Hub id; leave it out"
        )
    if not local:
        check_commit(name, _commit(name, revision))


def load_embedder(name: str, *, revision: str | None = None, device: str = "cpu") -> TextEmbedder:
    """Load the embedder called ``name``, in single precision.

    Args:
        name: ``embedded`` (knows the words of the embedded world and no others), a folder with a
            CLIP and its tokenizer, or a Hub id, which is downloaded unless it is in the cache.
        revision: commit of a Hub id; that of ``openai/clip-vit-large-patch14`` is built in.
        device: device on which it runs.

    Raises:
        BadValueError: the name cannot be an embedder.
        UnsupportedError: it cannot be loaded, is not in safetensors, or is not a CLIP with a text
            projection.
    """
    check_embedder(name, revision)
    if name == EMBEDDED:
        from safelatent.models.clip_model import load_clip, load_processor

        # transformers' types know neither devices by name nor a processor's tokenizer.
        clip, processor = cast("Any", load_clip()), cast("Any", load_processor())
        clip = clip.to(device)
        return TextEmbedder(
            name=name,
            tower=clip.text_model,
            projection=clip.text_projection,
            tokenizer=processor.tokenizer,
        )
    where: dict[str, Any] = (
        {"local_files_only": True} if Path(name).is_dir() else {"revision": _commit(name, revision)}
    )
    return _from_pretrained(name, device, where)


def _from_pretrained(name: str, device: str, where: dict[str, Any]) -> TextEmbedder:
    from safetensors import SafetensorError
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    try:
        tokenizer = CLIPTokenizer.from_pretrained(name, **where)
        kind: Any = CLIPTextModelWithProjection  # its types do not say that it returns two
        model, report = kind.from_pretrained(
            name, use_safetensors=True, output_loading_info=True, **where
        )
        model = model.float().to(device).eval()
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UnsupportedError(f"cannot load the embedder {name!r}: {squeezed(error)}") from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        more = len(missing) - 1
        raise UnsupportedError(
            f"{name!r} has no weights for {missing[0]} and {more} more; it is not a CLIP with a"
            " text projection"
        )
    if not 2 < len(tokenizer) <= model.config.vocab_size:
        raise UnsupportedError(
            f"{name!r} has {len(tokenizer)} tokens for {model.config.vocab_size} embeddings; its"
            " tokenizer is missing"
        )
    return TextEmbedder(
        name=name, tower=model.text_model, projection=model.text_projection, tokenizer=tokenizer
    )


def _commit(name: str, revision: str | None) -> str | None:
    return OPENAI_COMMIT if name == OPENAI_CLIP and revision is None else revision
