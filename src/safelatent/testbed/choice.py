"""A choice of prompts: its settings, its result, and its file, so that none is embedded twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt, PromptSet
from safelatent.runs.folder import folder_errors
from safelatent.storage import write_whole
from safelatent.testbed.corpus import PromptFile
from safelatent.testbed.embed import TextEmbedder
from safelatent.testbed.keywords import Keyword
from safelatent.text import squeezed

FILE = "choice.json"
FORMAT = 1
MAX_PER_KEYWORD = 100_000


@dataclass(frozen=True, kw_only=True)
class ChoiceSettings:
    """How prompts are chosen.

    Attributes:
        per_keyword: number of nearest prompts per keyword; 250 in the paper.
        guidance_scale: guidance scale of all prompts.
        seed: seed from which the prompts' own seeds are drawn.
        limit: number of prompts to keep; the first are the nearest of every keyword. None is all.

    Raises:
        BadValueError: a value is out of its range.
    """

    per_keyword: int = 250
    guidance_scale: float = 7.5
    seed: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        if type(self.per_keyword) is not int or not 1 <= self.per_keyword <= MAX_PER_KEYWORD:
            raise BadValueError(
                f"per_keyword is {self.per_keyword!r}; it must be a whole number from 1 to"
                f" {MAX_PER_KEYWORD}"
            )
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise BadValueError(
                f"the seed is {self.seed!r}; it must be a whole number from 0 to 2^63 - 1"
            )
        if self.limit is not None and (type(self.limit) is not int or self.limit < 1):
            raise BadValueError(
                f"the limit is {self.limit!r}; it must be a whole number of at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class Search:
    """What one keyword found: the number of prompts, and the highest and lowest cosine.

    Some of them may not be in the test bed: no image may be made from them, or they are beyond the
    limit.
    """

    category: str
    text: str
    count: int
    highest: float
    lowest: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The prompts of a test bed, and how they were found.

    Attributes:
        inputs: everything that determines the rest, as plain values.
        rows: number of rows of each corpus, by its name.
        prompts: nearest first, with categories in I2P's order; rows that gave none are counted.
        similarities: highest cosine of each prompt by category, by the prompt's id.
        searches: one per keyword.
        cut: number of texts in the corpora that are longer than the embedder reads.
    """

    inputs: Mapping[str, Any]
    rows: Mapping[str, int]
    prompts: PromptSet
    similarities: Mapping[str, Mapping[str, float]]
    searches: tuple[Search, ...]
    cut: int

    def with_toxicity(self, values: Sequence[float]) -> Choice:
        """Return this choice with the toxicity of each prompt."""
        prompts = tuple(
            replace(prompt, toxicity=value)
            for prompt, value in zip(self.prompts, values, strict=True)
        )
        return replace(self, prompts=replace(self.prompts, prompts=prompts))


def inputs_of(
    sources: Sequence[PromptFile],
    column: str | None,
    keywords: Sequence[Keyword],
    embedder: TextEmbedder,
    choosing: ChoiceSettings,
    toxicity: str | None,
) -> dict[str, Any]:
    """Return everything that determines a choice, as plain values: the name and the bytes of a
    corpus, for example, but not its folder.
    """
    return {
        "corpora": {source.name: source.sha256 for source in sources},
        "text_column": column,
        "keywords": [[keyword.category, keyword.text] for keyword in keywords],
        "embedder": embedder.name,
        "embedder_sha256": embedder.sha256,
        "toxicity": toxicity,
        **asdict(choosing),
    }


def write_choice(folder: Path, choice: Choice) -> None:
    """Save a choice in the test bed's folder, whole or not at all.

    Raises:
        RunError: the folder cannot be written.
    """
    chosen = choice.prompts
    values = {
        "format": FORMAT,
        "inputs": choice.inputs,
        "rows": choice.rows,
        "prompts": {
            "name": chosen.name,
            "rows": chosen.rows,
            "skipped": dict(chosen.skipped),
            "prompts": [asdict(p) for p in chosen],
        },
        "similarities": choice.similarities,
        "searches": [asdict(search) for search in choice.searches],
        "cut": choice.cut,
    }
    with folder_errors(folder):
        write_whole(folder / FILE, json.dumps(values, indent=1, allow_nan=False).encode())


def read_choice(folder: Path, inputs: Mapping[str, Any]) -> Choice | None:
    """Load the choice that was saved in this folder; None if there is none yet.

    Raises:
        BadValueError: it was made from other inputs, which are named, or by another version, or the
            file is damaged.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise BadValueError(
                f"{file} was written by another version; use that version, or give another --out"
            )
        choice = _choice(values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, BadValueError):
            raise
        reason = f"{type(error).__name__}: {squeezed(error)}"
        raise BadValueError(f"{file} is damaged ({reason}); give another --out") from None
    changed = [name for name in inputs if choice.inputs.get(name) != inputs[name]]
    if changed:
        shown = "; ".join(
            f"{name} is {_short(inputs[name])}, was {_short(choice.inputs.get(name))}"
            for name in changed
        )
        raise BadValueError(
            f"{folder} holds a test bed with other settings ({shown}); give the same settings to"
            " resume it, or another --out"
        )
    return choice


def _choice(values: dict[str, Any]) -> Choice:
    prompts = [
        Prompt(**(prompt | {"categories": tuple(prompt["categories"])}))
        for prompt in values["prompts"]["prompts"]
    ]
    chosen = PromptSet(**(values["prompts"] | {"prompts": tuple(prompts)}))
    searches = tuple(Search(**search) for search in values["searches"])
    return Choice(**(values | {"prompts": chosen, "searches": searches}))


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
