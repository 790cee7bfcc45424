"""An image in an audit log: the very file, its pixels in another file, or a picture that looks like
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from safelatent.provenance.audit_log import AuditLog
from safelatent.provenance.chain import links
from safelatent.provenance.marks import BITS, SIMILAR, distance
from safelatent.provenance.receipt import is_same
from safelatent.provenance.seal import TEXTS

State = Literal["holds", "broken", "similar", "claimed", "absent"]
_RANKS = ("file", "pixels", "receipt", "watermark", "disclosure", "fingerprint")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one mark shows.

    Attributes:
        mark: which one.
        state: ``holds``, something vouches for it; ``broken``, it contradicts itself or another;
            ``similar``, the log has a picture that looks like this one; ``claimed``, nothing
            vouches for what it says; ``absent``, there is none.
        words: for people.
    """

    mark: str
    state: State
    words: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is known of the image that is looked up.

    Attributes:
        file: sha256 of its file.
        pixels: ``pixel_digest`` of its picture.
        fingerprint: ISCC.
        receipt: the receipt that came with it.
        identity: the id in its disclosure.
        payload: of its watermark, the beginning of an id.
    """

    file: str
    pixels: str
    fingerprint: str
    receipt: Mapping[str, Any] | None = None
    identity: str | None = None
    payload: str | None = None


def look_up(wanted: Wanted, log: AuditLog) -> Iterator[Finding]:
    """Yield what the log shows about the image; a broken chain first.

    Raises:
        BadValueError: there is no such log.
        OSError: it cannot be read.
    """
    best: tuple[tuple[int, bool, int], dict[str, Any]] | None = None
    for line, entry, fault in links(log.file):
        if fault is not None:
            words = f"{log.file} does not hold from line {line} on: {fault}"
            yield Finding(mark="log", state="broken", words=words)
        elif _is_sealed(entry):
            rank = _rank(wanted, entry["record"])
            if rank is not None and (best is None or rank < best[0]):
                best = rank, entry
    if best is None:
        yield Finding(mark="log", state="absent", words=f"no entry of {log.file} looks like it")
        return
    (kind, other, bits), entry = best
    yield _found(_RANKS[kind], bits, entry, log)
    if wanted.receipt is not None and (kind < _RANKS.index("receipt") or not other):
        yield from _compared(wanted.receipt, entry, log)


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
    another one, and how many bits differ.
    """
    logged = record["receipt"]
    bits = distance(wanted.fingerprint, record["iscc"])
    same = wanted.receipt is not None and wanted.receipt["id"] == logged["id"]
    fits = (
        wanted.file == record["file"],
        wanted.pixels == logged["image"]["sha256"],
        same,
        wanted.payload is not None and logged["id"].replace("-", "").startswith(wanted.payload),
        wanted.identity == logged["id"],
        bits is not None and bits <= SIMILAR,
    )
    return (fits.index(True), not same, BITS if bits is None else bits) if True in fits else None


def _found(kind: str, bits: int, entry: Mapping[str, Any], log: AuditLog) -> Finding:
    place = f"entry {entry['number']} of {log.file}, of {entry['time']}"
    looks = f"its fingerprint differs in {bits} of {BITS} bits"
    if kind == "file":
        return Finding(mark="log", state="holds", words=f"this very file is {place}")
    if kind == "pixels":
        words = f"the picture is {place}; its file was written again since"
        return Finding(mark="log", state="holds", words=words)
    if bits > SIMILAR and kind == "watermark":  # which survives more than the fingerprint does
        words = f"its watermark is that of {place}; changed a lot since, or copied: {looks}"
        return Finding(mark="log", state="similar", words=words)
    if bits > SIMILAR:  # another picture with what anybody can copy
        words = f"it has the {kind} of {place}, and is another picture: {looks}"
        return Finding(mark="log", state="broken", words=words)
    words = f"looks like {place}, and is not the same: {looks}"
    return Finding(mark="log", state="similar", words=words)


def _compared(
    receipt: Mapping[str, Any], entry: Mapping[str, Any], log: AuditLog
) -> Iterator[Finding]:
    """Yield what in the receipt is not as it was logged."""
    record = entry["record"]
    logged = record["receipt"]
    names = [name for name in {**logged, **receipt} if name not in TEXTS]
    other = [n for n in names if not is_same(logged.get(n), receipt.get(n))]
    hidden = {n: log.holds(record.get(n), receipt.get(n)) for n in TEXTS}
    other += [n for n, same in hidden.items() if same is False]
    if other:
        words = f"the receipt is not as it was logged: {', '.join(other)}"
        yield Finding(mark="log", state="broken", words=words)
    elif None in hidden.values():
        words = "the receipt is as it was logged; comparing the prompt needs the log's key"
        yield Finding(mark="log", state="holds", words=words)
    else:
        yield Finding(mark="log", state="holds", words="the receipt is as it was logged")
