"""An image in an audit log: the very file, its pixels in another file, or a picture that looks like
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from safelatent.provenance.audit_log import AuditLog
from safelatent.provenance.chain import links
from safelatent.provenance.comparing import MarkFinding, compared, contradicted
from safelatent.provenance.marks import BITS, SIMILAR, distance

_RANKS = ("file", "pixels", "receipt", "watermark", "disclosure", "fingerprint")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is known of the image that is looked up.

    Attributes:
        file: sha256 of its file.
        pixels: ``pixel_digest`` of its picture.
        fingerprint: ISCC.
        receipt: the receipt that came with it.
        other_text: whether its file says something else in the receipt's place.
        disclosure: what its XMP says, as ``read_disclosure`` returns it.
        payload: of its watermark, the beginning of an id.
    """

    file: str
    pixels: str
    fingerprint: str
    receipt: Mapping[str, Any] | None = None
    other_text: bool = False
    disclosure: Mapping[str, str] = field(default_factory=dict)
    payload: str | None = None


def look_up(wanted: Wanted, log: AuditLog) -> Iterator[MarkFinding]:
    """Yield what the log shows about the image; a broken chain first.

    Raises:
        BadValueError: there is no such log.
        OSError: it cannot be read.
    """
    best: tuple[tuple[int, bool, int], dict[str, Any]] | None = None
    for line, entry, fault in links(log.file):
        if fault is not None:
            words = f"{log.file} does not hold from line {line} on: {fault}"
            yield MarkFinding(mark="log", state="broken", words=words)
        elif _is_sealed(entry):
            rank = _rank(wanted, entry["record"])
            if rank is not None and (best is None or rank < best[0]):
                best = rank, entry
    if best is None:
        yield MarkFinding(mark="log", state="absent", words=f"no entry of {log.file} looks like it")
        return
    (kind, other, bits), entry = best
    yield _found(_RANKS[kind], bits, entry, log)
    is_here = kind < _RANKS.index("receipt")
    if wanted.receipt is not None and (is_here or not other):
        yield from compared(wanted.receipt, entry, log)
    if is_here:
        logged = entry["record"]["receipt"]
        yield from contradicted(wanted.disclosure, logged, other_text=wanted.other_text)


def _is_sealed(entry: Mapping[str, Any]) -> bool:
    """Whether ``Seal`` wrote the entry, about an image; others may append what they like."""
    record = entry["record"]
    ours = entry["event"] == "image" and isinstance(record, dict)
    if not ours or not {"receipt", "file", "iscc"} <= record.keys():
        return False
    receipt = record["receipt"]
    if not isinstance(receipt, dict) or not isinstance(receipt.get("image"), dict):
        return False
    texts = (receipt.get("id"), receipt["image"].get("sha256"), record["file"], record["iscc"])
    return all(isinstance(text, str) for text in texts)


def _rank(wanted: Wanted, record: Mapping[str, Any]) -> tuple[int, bool, int] | None:
    """How well an entry fits (smaller is better): the best of ``_RANKS``, whether its receipt is
    another one, and how many bits differ. One picture may be logged with several receipts.
    """
    logged = record["receipt"]
    bits = distance(wanted.fingerprint, record["iscc"])
    disclosed = wanted.disclosure.get("id") == logged["id"]
    same = disclosed if wanted.receipt is None else wanted.receipt["id"] == logged["id"]
    fits = (
        wanted.file == record["file"],
        wanted.pixels == logged["image"]["sha256"],
        wanted.receipt is not None and same,
        wanted.payload is not None and logged["id"].replace("-", "").startswith(wanted.payload),
        disclosed,
        bits is not None and bits <= SIMILAR,
    )
    return (fits.index(True), not same, BITS if bits is None else bits) if True in fits else None


def _found(kind: str, bits: int, entry: Mapping[str, Any], log: AuditLog) -> MarkFinding:
    place = f"entry {entry['number']} of {log.file}, of {entry['time']}"
    looks = f"its fingerprint differs in {bits} of {BITS} bits"
    if kind == "file":
        return MarkFinding(mark="log", state="holds", words=f"this very file is {place}")
    if kind == "pixels":
        words = f"the picture is {place}; its file was written again since"
        return MarkFinding(mark="log", state="holds", words=words)
    if bits > SIMILAR and kind == "watermark":  # which survives more than the fingerprint does
        words = f"its watermark is that of {place}; changed a lot since, or copied: {looks}"
        return MarkFinding(mark="log", state="similar", words=words)
    if bits > SIMILAR:  # another picture with what anybody can copy
        words = f"it has the {kind} of {place}, and is another picture: {looks}"
        return MarkFinding(mark="log", state="broken", words=words)
    words = f"looks like {place}, and is not the same: {looks}"
    return MarkFinding(mark="log", state="similar", words=words)
