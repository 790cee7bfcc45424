"""What the text encoder learns beside pictures: to say of any text what a sentence encoder says of
it.

Two things are asked. From the last state a linear map is to give the sentence encoder's embedding
of a text. And the known things are to be as near to the text, by that last state, as the sentence
encoder finds them: a word that stands in no caption then lies beside the word that it paraphrases.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from training.device import half_precision
from training.texts import TextPool, of_one_length
from training.vocabulary import THINGS

TEMPERATURE = 0.07  # of the choice among names, in cosines
WORD_SHARE = 0.75  # of the texts: a single word, which has no other words to be understood from

NAMES = tuple(dict.fromkeys(name for thing in THINGS for name in thing.names))


class Lesson(nn.Module):
    """The map to the sentence encoder's embeddings, (TEXT_WIDTH,) to (384,), and the loss of a text
    encoder.
    """

    def __init__(self, pool: TextPool, tokenizer: CLIPTokenizer, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(width, pool.embeddings.shape[1])
        self._pool, self._tokenizer = pool, tokenizer
        position = {text: n for n, text in enumerate(pool.texts)}
        self._names = np.array([position[name] for name in NAMES])
        self._words = np.flatnonzero(np.array(pool.sources) == "word")
        self._by_length = np.argsort([len(text) for text in pool.texts], kind="stable")

    def loss(self, text_encoder: CLIPTextModel, rng: np.random.Generator, count: int) -> Tensor:
        """Of ``count`` texts and ``count`` names (all of them, if they are fewer)."""
        words = rng.choice(self._words, round(count * WORD_SHARE))
        others = of_one_length(rng, self._by_length, count - len(words))
        names = rng.choice(self._names, min(count, len(self._names)), replace=False)
        short = np.concatenate([words, names])
        found = torch.cat([self._states(text_encoder, short), self._states(text_encoder, others)])
        chosen = np.concatenate([short, others])
        wanted = torch.from_numpy(self._pool.embedded(chosen)).to(found.device)
        is_name = torch.zeros(len(chosen), dtype=torch.bool, device=found.device)
        is_name[len(words) : len(short)] = True
        alike = 1 - functional.cosine_similarity(self.embed(found), wanted, dim=1).mean()
        return alike + choice_loss(found, wanted, is_name)

    def _states(self, text_encoder: CLIPTextModel, chosen: Any) -> Tensor:
        texts = [self._pool.texts[n] for n in chosen]
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, return_tensors="pt"
        ).input_ids
        device = self.embed.weight.device
        with half_precision(device):
            return text_encoder(tokens.to(device)).pooler_output.float()


def choice_loss(found: Tensor, wanted: Tensor, is_name: Tensor) -> Tensor:
    """How far the choice among names by the states found, (B, width), is from that by the
    embeddings wanted, (B, 384): a KL divergence.

    States are compared less their names' mean, since every text shares most of it.
    """
    centred = functional.normalize(found - found[is_name].mean(dim=0), dim=1)
    own = functional.log_softmax(centred[~is_name] @ centred[is_name].T / TEMPERATURE, dim=1)
    theirs = functional.log_softmax(wanted[~is_name] @ wanted[is_name].T / TEMPERATURE, dim=1)
    return functional.kl_div(own, theirs, reduction="batchmean", log_target=True)
