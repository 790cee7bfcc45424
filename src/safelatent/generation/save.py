"""Images onto the disk, whole or not at all, with what made them inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from safelatent.policy.decision import PolicyError
from safelatent.provenance.png import encode_png
from safelatent.provenance.seal import Seal
from safelatent.storage import write_whole

if TYPE_CHECKING:
    from safelatent.generation.sampling import Decided, Made


def save_image(made: Made, file: Path, seal: Seal) -> dict[str, Any]:
    """Write the image as a PNG with its receipt, signed and logged as ``seal`` says; return the
    receipt.

    Raises:
        BadValueError: it cannot be signed; there is no file.
        OSError: the log or the file cannot be written; nothing half-written stays.
    """
    request = made.request
    sealed = seal(made.image, receipt=made.receipt, request=request.hash, **request.facts)
    write_whole(file, sealed.png)
    return sealed.receipt


def save_decided(decided: Decided, file: Path, seal: Seal) -> dict[str, Any] | None:
    """Write an image that a policy released as ``save_image`` does, and return its receipt; log a
    refusal, where there is no image, and return None.

    Raises:
        BadValueError, OSError: as ``save_image``.
    """
    request, receipt = decided.request, decided.receipt
    facts = {name: value for name, value in request.facts.items() if name != "safety"}
    facts |= {"request": request.hash, **receipt.facts}
    if decided.image is None:
        seal.refuse(PolicyError(receipt.message, receipt.reason), **facts)
        return None
    sealed = seal(decided.image, receipt=receipt.receipt, **facts)
    write_whole(file, sealed.png)
    return sealed.receipt


def save_picture(image: Image.Image, file: Path, metadata: Any) -> Path:
    """Write a PNG with ``metadata`` (JSON, under the key ``safelatent``): encoded in memory,
    written aside, synced, renamed.

    Raises:
        OSError: the folder cannot be made or written; nothing half-written stays.
    """
    return write_whole(file, encode_png(image, metadata))
