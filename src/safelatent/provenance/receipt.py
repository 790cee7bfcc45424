"""The receipt of an image as it is published: JSON of a versioned schema, the same values in the
PNG's text, in the signed manifest and, with prompts concealed, in the audit log.

The schema is ``receipt.schema.json`` beside this file. What did not happen is absent: without a
policy there is no policy's hash, without checks there is no decision.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, cast

from PIL import Image

from safelatent import __version__
from safelatent.errors import BadValueError, nearest
from safelatent.optional import require
from safelatent.provenance.manifest import InputImage
from safelatent.text import is_deeper, shortened

SCHEMA = "safelatent-receipt/1"  # the version of the schema that is written
DEEPEST = 16  # tables in tables; those of safelatent have five
LONGEST = 200  # characters of what is said about one fault


@dataclass(frozen=True, kw_only=True)
class System:
    """The system that made an image, as its provider calls it.

    Attributes:
        name, version: for example "safelatent" and "0.1.0".

    Raises:
        BadValueError: one is blank or cannot be printed.
    """

    name: str
    version: str

    def __post_init__(self) -> None:
        check_named("the system's name", self.name)
        check_named("the system's version", self.version)

    @classmethod
    def parse(cls, text: str) -> System:
        """Return ``"NAME VERSION"`` as a system: the last word is the version.

        Raises:
            BadValueError: there are fewer than two words.
        """
        name, _, version = text.strip().rpartition(" ")
        if not name or not version:
            raise BadValueError(
                f"the system is {text!r}; give its name and its version, for example 'Paintbox 2.1'"
            )
        return cls(name=name.strip(), version=version)


def check_named(what: str, name: str) -> None:
    """Refuse a name that the disclosure could not hold: XML has no control characters, and UTF-8
    no half of a character, so that a reader would find no disclosure at all.

    Raises:
        BadValueError: it is blank or cannot be printed.
    """
    if not name.strip() or not name.isprintable():
        raise BadValueError(f"{what} is {name!r}; give printable text, at least one letter")


SAFELATENT = System(name="safelatent", version=__version__)


def new_receipt(
    image: Image.Image,
    facts: Mapping[str, Any],
    *,
    identity: str,
    provider: str | None,
    system: System,
    inputs: Sequence[InputImage] = (),
) -> dict[str, Any]:
    """Return the receipt of an image that was made just now.

    Args:
        image: RGB, as it will be stored.
        facts: what is known about it, by the schema's names.
        identity: a UUID.
        provider: who offers the system; None leaves it out.
        inputs: the images that it was made from.

    Raises:
        BadValueError: a fact that the schema does not know.
    """
    for name in facts:
        if name not in _properties():
            raise BadValueError(
                f"a receipt has no field {name!r}{nearest(name, _properties())}; it has"
                f" {', '.join(_properties())}"
            )
    receipt = {
        "schema": SCHEMA,
        "id": identity,
        "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "system": {"name": system.name, "version": system.version},
        **facts,
        "image": {"sha256": pixel_digest(image), "width": image.width, "height": image.height},
    }
    if provider is not None:
        receipt["provider"] = provider
    if inputs:
        receipt["inputs"] = [
            {"relation": one.relation, "sha256": sha256(one.data).hexdigest()} for one in inputs
        ]
    return receipt


def pixel_digest(image: Image.Image) -> str:
    """Return the sha256 of the picture as size and RGB values, whatever file it is stored in."""
    head = f"{image.width}x{image.height} RGB\n".encode()
    return sha256(head + image.convert("RGB").tobytes()).hexdigest()


def faults_of(receipt: object) -> list[str]:
    """Return what in a receipt breaks the schema; nothing if it holds.

    Raises:
        UnsupportedError: the extra ``provenance`` is not installed.
    """
    validators = require("jsonschema", extra="provenance", purpose="checking a receipt")
    if is_deeper(receipt, DEEPEST):
        return ["it: it is nested too deeply"]
    found = validators.Draft202012Validator(schema()).iter_errors(receipt)
    return [
        f"{'.'.join(map(str, error.path)) or 'it'}: {shortened(error.message, LONGEST)}"
        for error in found
    ]


def is_same(one: object, other: object) -> bool:
    """Return whether two receipts, or parts of them, say the same.

    C2PA's library reads a decimal number to within the last bit of a double, so numbers are the
    same to 12 digits; the file's text, which is signed with the image, has them exactly.
    """
    if {type(one), type(other)} in ({float}, {float, int}):
        return math.isclose(cast("float", one), cast("float", other), rel_tol=1e-12)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return type(one) is type(other) and one == other


@cache
def schema() -> dict[str, Any]:
    """Return the published JSON schema."""
    return json.loads((files("safelatent.provenance") / "receipt.schema.json").read_text("utf-8"))


def _properties() -> Sequence[str]:
    return list(schema()["properties"])
