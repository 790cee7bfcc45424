"""``safelatent.json``, which says how a saved pipeline is guarded. Knows guidance and concepts;
does not know pipelines.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from safelatent.concepts import Concept
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.guidance import SLD, Guidance, NegativePrompt, NoiseLevel, PerImage
from safelatent.models.load import GUARD_FILE


def write_guard(folder: Path, guidance: Guidance, concept: Concept) -> None:
    """Into ``folder``, made when it is not there.

    Raises:
        BadValueError: a guidance of another class, of which nothing is known.
    """
    content = {"safety": as_values(guidance), "concept": str(concept)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GUARD_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_guard(folder: Path) -> tuple[Guidance, Concept]:
    """What ``write_guard`` wrote.

    Raises:
        UnsupportedError: the file is damaged.
    """
    try:
        content = json.loads((folder / GUARD_FILE).read_text(encoding="utf-8"))
        return from_values(content["safety"]), Concept.parse(content["concept"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        remedy = "save the guarded pipeline again, or guard the model anew"
        raise UnsupportedError(
            f"{folder / GUARD_FILE} does not say how the pipeline is guarded ({reason}); {remedy}"
        ) from error


def as_values(guidance: Guidance) -> Any:
    """For JSON: the settings themselves, so that a preset which changes one day does not change
    what was saved.

    Raises:
        BadValueError: a guidance of another class, of which nothing is known.
    """
    if isinstance(guidance, PerImage):
        return [as_values(one) for one in guidance.settings]
    if type(guidance) is NegativePrompt:
        return "negative prompt"
    if type(guidance) is SLD:
        return {field.name: _as_value(getattr(guidance, field.name)) for field in fields(guidance)}
    raise BadValueError(
        f"cannot save the guidance {guidance!r}: only SLD, NegativePrompt and one of them for each image are known"
    )


def from_values(values: Any) -> Guidance:
    """What ``as_values`` gave.

    Raises:
        BadValueError: it is no such thing.
    """
    if isinstance(values, list):
        return PerImage([from_values(one) for one in values])
    if values == "negative prompt":
        return NegativePrompt()
    if not isinstance(values, dict) or values.keys() != {field.name for field in fields(SLD)}:
        raise BadValueError(
            f"the saved safety {values!r} is none: it must have the settings {', '.join(f.name for f in fields(SLD))}"
        )
    return SLD(**{name: _from_value(value) for name, value in values.items()})


def _as_value(setting: Any) -> Any:
    return {"noise_level": setting.level} if isinstance(setting, NoiseLevel) else setting


def _from_value(value: Any) -> Any:
    return NoiseLevel(value["noise_level"]) if isinstance(value, dict) else value
