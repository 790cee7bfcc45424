"""The folder of an attack: its settings, and the queries of each prompt and defence.

    FOLDER/attack.json                          settings and prompts
    FOLDER/queries/exact-guidance/ID.json       all queries so far of one prompt
    FOLDER/lock                                 held by the one process that writes

A prompt's file is written whole after every batch, so that a kill loses at most the batch under
way. No picture is stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from safelatent.attack.settings import AttackSettings, Defence
from safelatent.errors import BadValueError
from safelatent.prompts import PromptSet
from safelatent.runs.folder import RunError, lock
from safelatent.storage import write_whole
from safelatent.text import squeezed

FORMAT = 1
# Why a query got no picture, where no check said so. What no check and no judge answered says
# nothing of a defence: it is a fault.
NOT_GUARDED, NOT_JUDGED = "not guardable", "not judged"
FAULTS = ("checker failed", NOT_JUDGED)


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a picture was judged to be.

    Attributes:
        score: of the judge, from 0 to 1.
        inappropriate: whether the judge says so.
        stopped: whether the output check stops it.
    """

    score: float
    inappropriate: bool
    stopped: bool


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One query and its answer.

    Attributes:
        text: what was asked.
        refused: why nothing was answered; None where a picture left.
        seen: of the picture, for the figures; None where none was drawn. An attacker learns only
            its score, and only where a picture left.
    """

    text: str
    refused: str | None
    seen: Seen | None

    @property
    def score(self) -> float | None:
        """What the attacker learns: the score of the picture that left, None for a refusal."""
        return self.seen.score if self.refused is None and self.seen is not None else None

    @property
    def success(self) -> bool:
        """Whether an inappropriate picture left."""
        return self.refused is None and self.seen is not None and self.seen.inappropriate


def is_done(asked: Sequence[Query], queries: int) -> bool:
    """Return whether an attack has succeeded, or has no budget left."""
    return len(asked) >= queries or any(one.success for one in asked)


@dataclass(frozen=True, kw_only=True)
class Attack:
    """An attack as it is stored, finished or not.

    Attributes:
        folder: where.
        settings: as stored.
        facts: what else determines it: prompts, hashes of model and protocols.
        prompts: text by id.
        queries: of each defence, by prompt id; those that were begun.
    """

    folder: Path
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    prompts: Mapping[str, str]
    queries: Mapping[Defence, Mapping[str, tuple[Query, ...]]]


class AttackFolder:
    """An attack's folder, open to be written; use it in a ``with`` block.

    Raises:
        RunError: another process writes to it, it cannot be written, or is damaged.
        BadValueError: it holds an attack of other settings.
    """

    def __init__(
        self, folder: Path, settings: AttackSettings, prompts: PromptSet, facts: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        self._lock: IO[str] = lock(folder)
        try:
            self._begin(settings, prompts, facts)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> AttackFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def _begin(
        self, settings: AttackSettings, prompts: PromptSet, facts: Mapping[str, Any]
    ) -> None:
        wanted = {
            "format": FORMAT,
            "settings": settings.as_dict(),
            "facts": dict(facts) | {"prompts": prompts.name, "prompts_digest": prompts.digest},
            "prompts": {prompt.id: prompt.text for prompt in prompts},
        }
        file = self.folder / "attack.json"
        if not file.exists():
            _written(file, _as_json(wanted))
            return
        stored = _stored(self.folder)
        if stored != wanted:
            before, now = (one["settings"] | one["facts"] for one in (stored, wanted))
            names = [n for n in now if before.get(n) != now[n]] or ["prompts"]
            raise BadValueError(
                f"{self.folder} holds an attack of other settings ({', '.join(names)} differ);"
                " repeat its settings to resume it, or name another --out"
            )

    def queries(self, defence: Defence, prompt_id: str) -> list[Query]:
        """Return what was asked of one prompt so far."""
        return list(_queries(_file(self.folder, defence, prompt_id)))

    def save(self, defence: Defence, prompt_id: str, queries: Sequence[Query]) -> None:
        """Write all queries of a prompt, whole or not at all.

        Raises:
            RunError: the disk is full or the folder read-only. What was saved before is whole.
        """
        _written(_file(self.folder, defence, prompt_id), msgspec.json.encode(list(queries)))


def read_attack(folder: str | Path) -> Attack:
    """Read an attack, finished or not.

    Raises:
        BadValueError: there is none.
        RunError: a file is damaged.
    """
    place = Path(folder)
    if not (place / "attack.json").is_file():
        raise BadValueError(f"{str(folder)!r} holds no attack; name the --out of safelatent attack")
    stored = _stored(place)
    guidances = tuple(stored["settings"]["guidances"])
    settings = AttackSettings(guidances=guidances)
    return Attack(
        folder=place,
        settings=stored["settings"],
        facts=stored["facts"],
        prompts=stored["prompts"],
        queries={
            defence: {
                name: found
                for name in stored["prompts"]
                if (found := _queries(_file(place, defence, name)))
            }
            for defence in settings.defences
        },
    )


def write(file: Path, value: Any) -> Path:
    """Write plain values as JSON, whole or not at all."""
    return write_whole(file, _as_json(value))


def _as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


def _written(file: Path, content: bytes) -> None:
    try:
        write_whole(file, content)
    except OSError as error:
        raise RunError(
            f"{file} cannot be written: {error.strerror}; what was answered before is saved:"
            " fix the cause and run the same command again to resume"
        ) from error


def _file(folder: Path, defence: Defence, prompt_id: str) -> Path:
    return folder / "queries" / defence.folder / f"{prompt_id}.json"


def _stored(folder: Path) -> dict[str, Any]:
    file = folder / "attack.json"
    try:
        found = json.loads(file.read_bytes())
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}, this version reads {FORMAT}")
        settings, _, prompts = (dict(found[n]) for n in ("settings", "facts", "prompts"))
        AttackSettings(guidances=tuple(settings["guidances"]), queries=settings["queries"])
        if paths := [name for name in prompts if Path(name).name != name]:
            raise ValueError(f"the prompt's id {paths[0]!r} is a path")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} cannot be read: {squeezed(error)}; name another --out") from None
    return found


def _queries(file: Path) -> tuple[Query, ...]:
    if not file.is_file():
        return ()
    try:
        return tuple(msgspec.json.decode(file.read_bytes(), type=list[Query]))
    except (OSError, msgspec.DecodeError) as error:
        raise RunError(
            f"{file} is damaged: {squeezed(error)}; delete it to attack this prompt again"
        ) from None
