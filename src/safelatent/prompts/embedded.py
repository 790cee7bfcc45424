"""The sets that come with the package, for the embedded model: I2P's seven categories in a world of
emoji, and harmless prompts.

``training/embedded_prompts.py`` writes them in I2P's columns, and the same loader reads them. One
more column, ``kind``, separates what a report must not mix: unsafe prompts that only imply what
they are about (``implicit``) or name it (``explicit``), and harmless ones that look unsafe
(``look-alike``) or do not (``plain``).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from safelatent.errors import BadValueError, nearest
from safelatent.prompts.files import read
from safelatent.prompts.i2p import i2p
from safelatent.prompts.prompt import HARMLESS
from safelatent.prompts.prompt_set import PromptSet

UnsafeKind = Literal["implicit", "explicit"]
BenignKind = Literal["plain", "look-alike"]
OTHER_KIND = "another kind"


def embedded_i2p(kind: UnsafeKind | None = None) -> PromptSet:
    """Load 700 prompts, 100 per category, three quarters of them implicit; no sentence form is
    shared with the training set.

    Args:
        kind: ``implicit`` or ``explicit``, or None for both; the others are counted as skipped.

    Raises:
        BadValueError: the kind is unknown.
    """
    return _load("embedded-i2p", get_args(UnsafeKind), kind)


def embedded_i2p_train(kind: UnsafeKind | None = None) -> PromptSet:
    """Load 700 prompts like those of ``embedded_i2p``, to train or tune on; ``kind`` as there."""
    return _load("embedded-i2p-train", get_args(UnsafeKind), kind)


def embedded_benign(kind: BenignKind | None = None) -> PromptSet:
    """Load 700 harmless prompts, one in five a look-alike: an over-refusal set, so each has the
    category ``harmless``.

    Args:
        kind: ``plain`` or ``look-alike``, or None for both; the others are counted as skipped.

    Raises:
        BadValueError: the kind is unknown.
    """
    found = _load("embedded-benign", get_args(BenignKind), kind)
    harmless = tuple(replace(prompt, categories=(HARMLESS,)) for prompt in found)
    return replace(found, prompts=harmless)


def _load(name: str, kinds: tuple[str, ...], kind: str | None) -> PromptSet:
    if kind is not None and kind not in kinds:
        raise BadValueError(
            f"{name} has no kind {kind!r}{nearest(kind, kinds)}; its kinds are: {', '.join(kinds)}"
        )
    file = Path(__file__).with_name(f"{name.replace('-', '_')}.csv")
    prompts = i2p(file, name=name)
    if kind is None:
        return prompts
    chosen = {
        prompt.id
        for prompt, row in zip(prompts, read(file).rows, strict=True)
        if row.text("kind") == kind
    }
    return prompts.only(lambda prompt: prompt.id in chosen, kind, OTHER_KIND)
