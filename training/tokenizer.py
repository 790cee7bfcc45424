"""The tokenizer: CLIP's own kind (byte-level BPE, lower case, ``</w>`` ends a word), learnt from a
weighted word list.

The words of the world weigh so much that each becomes one token; the words of all emoji labels and
tags follow, so that other English splits into few pieces, and every byte is its own token, so
that nothing is unknown.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

from safelatent.concepts import CATEGORY_CONCEPTS, DEFAULT_CONCEPT
from training.scenes import BACKGROUNDS
from training.vocabulary import ADJECTIVES, NOUNS, PLACES, THINGS

ENTRIES = 5120
POSITIONS = 77  # as in Stable Diffusion: long concepts fit
START, END, PADDING = "<|startoftext|>", "<|endoftext|>", "<|padding|>"
_GLUE = (
    "a an the of and with next to at in near on picture emoji background style no not without "
    "from very big small old new"
)


def token_ids(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """Token ids padded to all positions, (B, POSITIONS)."""
    return tokenizer(
        list(captions), padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|[0-9]|[^\sa-z0-9]+", text.lower())


def word_weights(modules: Path) -> Counter[str]:
    """Every word of the world with a large weight, every other of emojibase with a small one."""
    own = [
        _GLUE,
        *BACKGROUNDS,
        *PLACES,
        *NOUNS.values(),
        *ADJECTIVES.values(),
        str(DEFAULT_CONCEPT),
        *map(str, CATEGORY_CONCEPTS.values()),
    ]
    own += [name for thing in THINGS for name in thing.names]
    weights = Counter({word: 200_000 for text in own for word in _words(text)})
    for entry in json.loads((modules / "emojibase-data/en/data.json").read_text(encoding="utf-8")):
        for word in _words(" ".join([entry["label"], *entry.get("tags", [])])):
            weights[word] += 10
    return weights


def train_tokenizer(modules: Path, folder: Path) -> CLIPTokenizer:
    """Learn the merges, write the tokenizer to ``folder`` and return it. Deterministic, a few
    seconds.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=ENTRIES,
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
        special_tokens=[START, END, PADDING],
        show_progress=False,
    )
    weights = word_weights(modules)
    # Each byte once as its own word gives the alphabet its word-final half.
    corpus = [
        f"{word} " * max(1, weight // 10) for word, weight in sorted(weights.items())
    ] + alphabet
    learner.train_from_iterator(corpus, trainer)
    state = json.loads(learner.to_str())["model"]
    merges = [tuple(merge) for merge in state["merges"]]
    tokenizer = CLIPTokenizer(
        vocab=state["vocab"],
        merges=merges,
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=PADDING,
        model_max_length=POSITIONS,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer
