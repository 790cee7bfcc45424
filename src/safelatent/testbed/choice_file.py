"""A choice on the disk, so that a stopped build embeds nothing twice. Knows JSON; does not know how
prompts are chosen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt, PromptSet
from safelatent.runs.store import told
from safelatent.storage import write_whole
from safelatent.testbed.choose import Choice, Choosing, Search
from safelatent.testbed.corpus import Source
from safelatent.testbed.embed import Embedder
from safelatent.testbed.keywords import Keyword

FILE = "choice.json"
FORMAT = 1


def inputs_of(
    sources: Sequence[Source],
    column: str | None,
    keywords: Sequence[Keyword],
    embedder: Embedder,
    choosing: Choosing,
    toxicity: str | None,
) -> dict[str, Any]:
    """Everything that determines a choice, as plain values. Where a corpus lies does not, its name
    and its bytes do.
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
    """Keep it in the test bed's folder, whole or not at all.

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
    with told(folder):
        write_whole(folder / FILE, json.dumps(values, indent=1, allow_nan=False).encode())


def read_choice(folder: Path, inputs: Mapping[str, Any]) -> Choice | None:
    """The choice that was made in this folder, or None where there is none yet.

    Raises:
        BadValueError: it was made of other inputs, which are named, or by another version, or the
            file is damaged.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise BadValueError(
                f"{file} is another version's; use the version that made it, or give another --out"
            )
        choice = _choice(values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, BadValueError):
            raise
        raise BadValueError(
            f"{file} is damaged ({type(error).__name__}: {' '.join(str(error).split())}); give another --out"
        ) from None
    changed = [name for name in inputs if choice.inputs.get(name) != inputs[name]]
    if changed:
        shown = "; ".join(
            f"{name} is {_short(inputs[name])}, was {_short(choice.inputs.get(name))}"
            for name in changed
        )
        raise BadValueError(
            f"{folder} holds a test bed of other settings ({shown}); give the same settings to go on, or another --out"
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
