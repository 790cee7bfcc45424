"""Marks that are in the picture itself: a fingerprint that it has, a watermark that it is given.

The fingerprint is an ISCC Image-Code (ISO 24138, https://iscc.io) of 256 bits over the whole
picture; borders are not cropped, since what the embedded model draws has much of them. The
watermark is somebody else's: anything that writes a few hexadecimal digits into a picture and finds
them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from PIL import Image

from safelatent.errors import UnsupportedError
from safelatent.optional import require

ISCC = "io.iscc.v0"  # the fingerprint's name in C2PA's list of soft bindings
BITS = 256  # of a fingerprint
# Two pictures with at most so many different bits count as similar; docs/provenance.md has what
# copies and other pictures differ by.
SIMILAR = 12


def fingerprint(image: Image.Image) -> str:
    """Return the ISCC Image-Code of a picture, ``ISCC:`` and 55 letters and digits.

    Raises:
        UnsupportedError: the extra ``provenance`` is not installed.
    """
    small = image.convert("L").resize((32, 32), Image.Resampling.BICUBIC)
    return str(_iscc().gen_image_code_v0(small.tobytes(), BITS)["iscc"])


def distance(one: str, other: str) -> int | None:
    """Return how many bits of two fingerprints differ; None if one is no fingerprint of ours.

    Raises:
        UnsupportedError: the extra ``provenance`` is not installed.
    """
    try:
        (*kind, first), (*other_kind, second) = (_iscc().iscc_decode(c) for c in (one, other))
    except ValueError:
        return None
    if kind != other_kind:  # another type, version or length
        return None
    return (int.from_bytes(first) ^ int.from_bytes(second)).bit_count()


class Watermark(Protocol):
    """Something that hides a few hexadecimal digits in a picture."""

    @property
    def name(self) -> str:
        """The name in C2PA's list of soft bindings."""
        ...

    @property
    def digits(self) -> int:
        """How many it holds."""
        ...

    def mark(self, image: Image.Image, payload: str) -> Image.Image:
        """Return a copy of the RGB picture that holds the ``digits`` hexadecimal digits."""
        ...

    def read(self, image: Image.Image) -> str | None:
        """Return the digits that the picture holds; None if it holds none."""
        ...


@dataclass(frozen=True)
class TrustMark:
    """Adobe's TrustMark (MIT, arXiv 2311.18297), where ``pip install trustmark`` has put it.

    The package loads its weights itself, from Adobe's server into its own folder at the first use,
    as pickles; safelatent neither ships nor loads them.

    Args:
        variant: of the weights: P keeps the picture best, Q survives most.
    """

    variant: str = "P"
    digits: int = 15  # 60 of the 61 bits that it holds with BCH_5

    @property
    def name(self) -> str:
        """The name in C2PA's list of soft bindings."""
        return f"com.adobe.trustmark.{self.variant}"

    def mark(self, image: Image.Image, payload: str) -> Image.Image:
        """Return a copy of the RGB picture that holds ``payload``, 15 hexadecimal digits."""
        bits = f"{int(payload, 16):060b}0"
        return self._model.encode(image, bits, MODE="binary")

    def read(self, image: Image.Image) -> str | None:
        """Return the 15 hexadecimal digits that the picture holds; None if it holds none."""
        bits, found, _ = self._model.decode(image, MODE="binary")
        return f"{int(bits[:60], 2):015x}" if found and len(bits) == 61 else None

    @cached_property
    def _model(self) -> Any:
        try:
            from trustmark import TrustMark as Model  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise UnsupportedError(
                "a TrustMark watermark needs trustmark; run pip install trustmark"
            ) from error
        return Model(verbose=False, model_type=self.variant, loadRemover=False)


def _iscc() -> Any:
    return require("iscc_lib", extra="provenance", purpose="a fingerprint")
