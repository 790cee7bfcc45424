"""A study's folder: what is in it, written whole and checked when it is read.

FOLDER/study.json      settings and comparisons; the last file that is written
FOLDER/private.json    the key of the links and the address of the database; not to be shared
FOLDER/images/         copies of the images without metadata, by names that tell nothing
FOLDER/answers.sqlite  the answers, unless they are in PostgreSQL
FOLDER/links.csv       one link per rater
FOLDER/lock            held by the process that makes the study
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from safelatent.errors import BadValueError, SafelatentError
from safelatent.hashing import digest
from safelatent.storage import write_whole
from safelatent.study.plan import ImagePair, Showing, StudySettings, session
from safelatent.text import one_line

FORMAT = 1
PLAN, PRIVATE, IMAGES, ANSWERS, LINKS = (
    "study.json",
    "private.json",
    "images",
    "answers.sqlite",
    "links.csv",
)
_PICTURE = re.compile("[0-9a-f]{32}")
_KEY = re.compile("[0-9a-f]{64}")


class StudyError(SafelatentError):
    """A study's folder or its database cannot be used; answers that were stored stay stored."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study, without its answers.

    Attributes:
        folder: where it is.
        settings: what it asks.
        comparisons: all pairs of images there are to show.
        source: what the images are of: run, model, prompts, protocol, ..., as plain values.
        left_out: pairs that the run could not give, by reason.
        key: signs the links of the raters.
        database: address of the PostgreSQL database with the answers; None for the folder's own.
    """

    folder: Path
    settings: StudySettings
    comparisons: tuple[ImagePair, ...]
    source: Mapping[str, str]
    left_out: Mapping[str, int]
    key: str
    database: str | None

    @property
    def plan(self) -> dict[str, Any]:
        """What ``study.json`` holds, as plain values."""
        return {
            "format": FORMAT,
            "settings": asdict(self.settings),
            "source": dict(self.source),
            "left_out": dict(self.left_out),
            "comparisons": [asdict(one) for one in self.comparisons],
        }

    @cached_property
    def id(self) -> str:
        """Hash of the plan; the names of the pictures make it another for every study."""
        return digest(self.plan)

    @cached_property
    def pictures(self) -> frozenset[str]:
        """Names of all pictures."""
        return frozenset(name for one in self.comparisons for name in one.pictures)

    def session(self, rater: int) -> tuple[Showing, ...]:
        """Return the pages of a rater, counted from 1."""
        return self._session(rater)

    @cached_property
    def _session(self) -> Any:
        return lru_cache(maxsize=1000)(
            lambda rater: session(self.settings, self.comparisons, rater)
        )

    def check_pictures(self) -> None:
        """Refuse a study that lacks pictures: raters would judge what they cannot see.

        Raises:
            StudyError: saying how many are gone.
        """
        gone = sorted(name for name in self.pictures if not self.picture_file(name).is_file())
        if gone:
            raise StudyError(
                f"{self.folder} lacks {len(gone)} of its {len(self.pictures)} pictures, first"
                f" {IMAGES}/{gone[0]}.png; restore them from a copy"
            )

    def picture_file(self, name: str) -> Path:
        """Return where a picture is."""
        return self.folder / IMAGES / f"{name}.png"


def write_study(study: Study) -> None:
    """Write the private file and then the plan, which makes the folder a study.

    Raises:
        StudyError: the folder cannot be written.
    """
    try:
        private = _json({"key": study.key, "database": study.database})
        write_whole(study.folder / PRIVATE, private, mode=0o600)
        write_whole(study.folder / PLAN, _json(study.plan))
    except OSError as error:
        raise cannot_write(study.folder, error) from error


def cannot_write(folder: Path, error: OSError) -> StudyError:
    """Return the error for a folder that cannot be written."""
    return StudyError(
        f"{folder} cannot be written: {error.strerror or error}; free space, or name another folder"
    )


def read_study(folder: str | Path) -> Study:
    """Read a study.

    Raises:
        BadValueError: there is no study in the folder, or it is another version's.
        StudyError: it is damaged.
    """
    folder = Path(folder)
    if not (folder / PLAN).is_file():
        raise BadValueError(
            f"{str(folder)!r} holds no study (no {PLAN});"
            " give the --out folder of `safelatent study create`"
        )
    try:
        plan = json.loads((folder / PLAN).read_bytes())
        if plan["format"] != FORMAT:
            raise BadValueError(
                f"the study in {str(folder)!r} is of format {plan['format']!r:.40}, this version"
                f" reads {FORMAT}; use the version that made it"
            )
        private = json.loads((folder / PRIVATE).read_bytes())
        return _study(folder, plan, private)
    except OSError as error:
        raise StudyError(
            f"{error.filename} cannot be read: {error.strerror}; restore it from a copy"
        ) from error
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, BadValueError) and "is of format" in str(error):
            raise
        raise StudyError(f"{folder} is damaged: {one_line(error)[:300]}") from error


def _study(folder: Path, plan: Any, private: Any) -> Study:
    if not _KEY.fullmatch(private["key"]):
        raise ValueError(f"the key in {PRIVATE} is not one")
    study = Study(
        folder=folder,
        settings=StudySettings(
            **{
                **plan["settings"],
                "methods": tuple(plan["settings"]["methods"]),
                "questions": tuple(plan["settings"]["questions"]),
            }
        ),
        comparisons=tuple(_comparison(one) for one in plan["comparisons"]),
        source=plan["source"],
        left_out=plan["left_out"],
        key=private["key"],
        database=private["database"],
    )
    if not study.comparisons:
        raise ValueError("it has no pairs")
    unknown = {m for one in study.comparisons for m in one.methods} - set(study.settings.methods)
    if unknown:
        raise ValueError(f"its pairs have methods that it does not compare: {sorted(unknown)}")
    return study


def _comparison(values: Any) -> ImagePair:
    one = ImagePair(
        **{
            **values,
            **{name: tuple(values[name]) for name in ("categories", "methods", "pictures")},
        }
    )
    if not all(_PICTURE.fullmatch(name) for name in one.pictures):
        raise ValueError("a picture's name is not one")
    return one


def _json(values: Any) -> bytes:
    return (json.dumps(values, indent=1, ensure_ascii=True) + "\n").encode()
