"""A deployer's contract: the least safety, what must not appear, checks, limits, and what happens
on a finding.

A policy is a TOML file. A request is written in the same words, and so is what holds in the end:
``join(policy, request)``. A field that says nothing leaves it to the other.

Reads files and words; does not know pipelines.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from safelatent.concepts import CATEGORY_CONCEPTS, DEFAULT_CONCEPT, CategoryName, Concept
from safelatent.errors import BadValueError
from safelatent.guidance import SLD, PresetName
from safelatent.hashing import digest, file_digest, files_digest
from safelatent.pipelines.guarded import is_modular
from safelatent.policy.messages import in_words
from safelatent.policy.parts import (
    Finding,
    Limits,
    OutputRules,
    PolicyPart,
    PromptRules,
    Settings,
    Targets,
    freeze,
)

if TYPE_CHECKING:
    from safelatent.policy.enforce import UnderPolicy

VERSION = 1
MOST_BYTES = 16_000  # of a file; a stranger's with one long dotted key takes tomllib much longer
FILES = (("prompt", "calibration"), ("output", "vectors"))  # fields that name one, by table
CLASSIFIER = ("prompt", "classifier")  # a folder, or a model on the Hub


class Policy(PolicyPart, frozen=True):
    """The contract. ``Policy()`` asks for nothing, so it is the request of someone who asks for
    nothing.

    Attributes:
        version: of the format.
        name: for people and receipts.
        least: the least level of safety.
        settings: the least that single settings must be.
        concepts: terms that must be among what is steered away from.
        categories: categories of I2P that must be, each with its least level. Exact guidance,
            away from one concept, acts on all of them at the highest of these levels.
        guidance: ``adaptive`` steers away from each category at its own level; ``exact``, the
            published form, is the default. A request must not name another.
        prompt, output: the checks before and after sampling.
        limits: of a call.
        targets: what a measured run must show.

    Raises:
        BadValueError: by ``parse`` and ``read``; the constructor raises ``ValueError`` for values
            that contradict one another.
    """

    version: Literal[1] = VERSION
    name: str = ""
    least: PresetName | None = None
    settings: Settings = Settings()
    concepts: tuple[str, ...] = ()
    categories: dict[CategoryName, PresetName] = msgspec.field(default_factory=dict)
    guidance: Literal["exact", "adaptive"] | None = None
    prompt: PromptRules = PromptRules()
    output: OutputRules = OutputRules()
    limits: Limits = Limits()
    targets: Targets = Targets()

    def __post_init__(self) -> None:
        freeze(self, "categories")
        if self.concepts:
            Concept(terms=self.concepts)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Policy:
        """Return the policy of plain values, as a TOML or JSON file holds them.

        Raises:
            BadValueError: a field that is unknown, of another type or out of its range.
        """
        try:
            found = msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            said = in_words(error, values, choices=_CHOICES, keys=CategoryName, fields=_fields)
            raise BadValueError(f"the policy is not valid: {said}") from None
        _check_finite(found)
        return found

    @classmethod
    def read(cls, file: str | Path) -> Policy:
        """Return the policy of a TOML file, which must name its format's ``version``.

        Raises:
            BadValueError: the file cannot be read, is not TOML, or is no policy.
        """
        path = Path(file)
        try:
            values = tomllib.loads(_text_of(path))
        except BadValueError:
            raise
        except ValueError as error:  # of TOML, or of a number of too many digits
            raise BadValueError(f"the policy {str(path)!r} is not TOML: {error}") from None
        except RecursionError:
            raise BadValueError(
                f"the policy {str(path)!r} is nested too deeply; it has tables of plain values"
            ) from None
        if "version" not in values:
            raise BadValueError(
                f"the policy {str(path)!r} names no version; begin it with: version = {VERSION}"
            )
        try:
            found = cls.parse(values)
        except BadValueError as error:
            raise BadValueError(f"{str(path)!r}: {error}") from None
        return _beside(found, path.parent)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON and receipts; what says nothing is left out."""
        return {"version": self.version} | _said_of(msgspec.to_builtins(self))

    def guard(
        self,
        pipe: Any,
        safety: PresetName | Literal["adaptive"] | SLD | None = None,
        concept: Concept | None = None,
        /,
    ) -> UnderPolicy:
        """Return the pipeline under this policy; ``guard(pipe, safety, policy=...)`` calls this."""
        from safelatent.policy.join import request_of

        request = request_of(safety, concept)
        if is_modular(pipe):
            from safelatent.policy.enforce_modular import ModularUnderPolicy

            return ModularUnderPolicy(pipe=pipe, policy=self, request=request)
        from safelatent.policy.enforce import ClassicUnderPolicy

        return ClassicUnderPolicy(pipe=pipe, policy=self, request=request)

    @property
    def hash(self) -> str:
        """sha256 of all that the policy demands, as canonical JSON. Its name is not part of it, and
        its files, and a classifier's folder, count by their content, wherever they are.
        """
        said = {name: value for name, value in self.as_dict().items() if name != "name"}
        paths = list(FILES)
        if self.prompt.classifier and Path(self.prompt.classifier).is_dir():
            paths.append(CLASSIFIER)
        for table, name in paths:
            if name in said.get(table, {}):
                said[table] = said[table] | {name: _content(said[table][name])}
        return digest(said)

    @property
    def concept(self) -> Concept:
        """What must not appear: the terms of ``concepts`` and of the categories; the paper's 20
        terms, where the policy names none.
        """
        terms = [*self.concepts, *(t for c in self.categories for t in CATEGORY_CONCEPTS[c].terms)]
        if not terms:
            return DEFAULT_CONCEPT
        return Concept(terms=(terms[0],)).with_terms(*terms[1:])


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadValueError(
            f"the policy {str(path)!r} cannot be read: {error.strerror}; name a TOML file"
        ) from None
    if len(content) > MOST_BYTES:
        raise BadValueError(
            f"the policy {str(path)!r} has {len(content):,} bytes; it may have at most"
            f" {MOST_BYTES:,}, so shorten it"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadValueError(
            f"the policy {str(path)!r}: byte {error.start} is {content[error.start]:#04x}, which is"
            " not UTF-8; save the file as UTF-8"
        ) from None


def schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a policy file."""
    found = msgspec.json.schema(Policy)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | found


def _said_of(values: dict[str, Any]) -> dict[str, Any]:
    """The fields that say something, at any depth."""
    found = {n: _said_of(v) if isinstance(v, dict) else v for n, v in values.items()}
    return {n: v for n, v in found.items() if v is not None and v not in ({}, [], (), "")}


def _beside(policy: Policy, folder: Path) -> Policy:
    """The policy with the paths of its files seen from ``folder``."""
    change = msgspec.structs.replace
    for table, name in (*FILES, CLASSIFIER):
        part = getattr(policy, table)
        file = getattr(part, name)
        is_path = (table, name) != CLASSIFIER or (folder / str(file)).is_dir()
        if file is not None and is_path:
            policy = change(policy, **{table: change(part, **{name: str(folder / file)})})
    return policy


def _content(name: str) -> str:
    """The sha256 of a file, or of all files of a folder; the name of what is not there."""
    path = Path(name)
    if path.is_dir():
        return files_digest(path, (one for one in path.rglob("*") if one.is_file()))
    return file_digest(path) if path.is_file() else path.name


def _check_finite(part: Struct, table: str = "") -> None:
    for field in part.__struct_fields__:
        value, name = getattr(part, field), f"{table}{field}"
        if isinstance(value, float) and not math.isfinite(value):
            raise BadValueError(f"the policy is not valid: {name} is {value}; it must be finite")
        if isinstance(value, Struct):
            _check_finite(value, f"{name}.")


_CHOICES = {
    "least": PresetName,
    "finding": Finding,
    "version": Literal[1],
    "guidance": Literal["exact", "adaptive"],
}


def _fields(path: str) -> tuple[str, ...]:
    """The fields of the table at ``path``; of the whole file for none."""
    part = Policy()
    return getattr(part, path).__struct_fields__ if path else part.__struct_fields__
