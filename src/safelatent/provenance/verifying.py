"""What holds of an image's file: its manifest, its receipt, its disclosure, its fingerprint, and
its entry in an audit log, each in words.

A signature or a log entry vouches for a file. A receipt without either is a claim that anybody can
write, and so is a disclosure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from safelatent.detectors.images import METADATA, XMP, decode_described
from safelatent.errors import BadValueError
from safelatent.provenance.audit_log import AuditLog
from safelatent.provenance.comparing import MarkFinding
from safelatent.provenance.look_up import Wanted, look_up
from safelatent.provenance.manifest import (
    EDITED,
    GENERATED,
    Ingredient,
    Manifest,
    read_manifest,
)
from safelatent.provenance.marks import ISCC, SIMILAR, Watermark, distance, fingerprint
from safelatent.provenance.png import disclosure_of, read_disclosure, text_names
from safelatent.provenance.receipt import SCHEMA, faults_of, is_same, pixel_digest


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What all marks of a file show.

    Attributes:
        findings: one or more per mark.
        receipt: the one in the manifest, or else the one in the file's text.
        fingerprint: ISCC of the picture; None if it cannot be read.
    """

    findings: tuple[MarkFinding, ...]
    receipt: dict[str, Any] | None
    fingerprint: str | None

    @property
    def verdict(self) -> Literal["holds", "does not hold", "similar", "nothing found"]:
        """``does not hold`` if anything is broken; otherwise ``holds`` if anything vouches for the
        file, ``similar`` if the log has a picture that looks like it, and else ``nothing found``.
        """
        states = {finding.state for finding in self.findings}
        if "broken" in states:
            return "does not hold"
        if "holds" in states:
            return "holds"
        return "similar" if "similar" in states else "nothing found"


def verify(
    file: Path,
    *,
    trust: bytes | None = None,
    log: AuditLog | None = None,
    watermark: Watermark | None = None,
) -> Verification:
    """Read all marks of an image's file and say what holds.

    Args:
        file: a picture of any kind that ``detectors.open_image`` reads.
        trust: PEM; the certificates of the authorities that must have issued the signer's.
        log: audit log to look the image up in.
        watermark: what may have been put into the picture.

    Raises:
        BadValueError: there is no such file, or no such log.
        OSError: it cannot be read.
        UnsupportedError: the extra ``provenance`` is not installed.
    """
    if not file.is_file():
        raise BadValueError(f"{str(file)!r} is not a file; give the path of a picture")
    data = file.read_bytes()
    manifest = read_manifest(data, trust)
    findings = list(_of_manifest(manifest, trusting=trust is not None))
    try:
        picture, text, xmp = decode_described(data, str(file))
    except BadValueError as error:
        findings.append(MarkFinding(mark="picture", state="broken", words=str(error)))
        signed = None if manifest is None else manifest.receipt
        return Verification(findings=tuple(findings), receipt=signed, fingerprint=None)
    pixels, code = pixel_digest(picture), fingerprint(picture)
    receipt, found = _of_receipt(manifest, text, pixels)
    disclosure = {} if xmp is None else read_disclosure(xmp)
    signed = any(one.mark == "receipt" and one.state == "holds" for one in found)
    findings += [*found, *_of_disclosure(disclosure, receipt, signed=signed)]
    findings += _of_repeated(data)
    findings += _of_fingerprint(manifest, code)
    payload = None if watermark is None else watermark.read(picture)
    if watermark is not None:
        findings.append(_of_watermark(watermark.name, payload, receipt))
    if log is not None:
        wanted = Wanted(
            file=sha256(data).hexdigest(),
            pixels=pixels,
            fingerprint=code,
            receipt=receipt,
            other_text=receipt is None and text is not None,
            disclosure=disclosure,
            payload=payload,
        )
        findings += look_up(wanted, log)
    return Verification(findings=tuple(findings), receipt=receipt, fingerprint=code)


def _of_manifest(manifest: Manifest | None, *, trusting: bool) -> Iterator[MarkFinding]:
    if manifest is None:
        yield MarkFinding(mark="manifest", state="absent", words="none; the file is not signed")
        if trusting:
            words = "nobody whom you trust: the file is not signed"
            yield MarkFinding(mark="signer", state="broken", words=words)
        return
    if manifest.faults:
        words = f"does not hold: {'; '.join(manifest.faults)}"
        yield MarkFinding(mark="manifest", state="broken", words=words)
        return
    words = f"signed by {manifest.signer!r}; the file is unchanged since"
    yield MarkFinding(mark="manifest", state="holds", words=words)
    yield _of_signer(manifest, trusting=trusting)
    if manifest.time is not None:
        trusted = manifest.time_trusted
        by = "an authority that you trust" if trusted else "an authority that you have not named"
        words = f"signed at {manifest.time}, says {by}"
        yield MarkFinding(mark="time stamp", state="holds" if trusted else "claimed", words=words)
    made = [source for source in manifest.source_types if source in (GENERATED, EDITED)]
    if made:
        words = "made by a model" if GENERATED in made else "a part of it made by a model"
        yield MarkFinding(
            mark="source", state="holds", words=f"{words} ({made[0].rpartition('/')[2]})"
        )
    for one in manifest.inputs:
        yield MarkFinding(mark="input", state="holds", words=_input_words(one))


def _of_signer(manifest: Manifest, *, trusting: bool) -> MarkFinding:
    if manifest.trusted:
        words = "the certificate is issued by an authority that you trust"
        return MarkFinding(mark="signer", state="holds", words=words)
    if trusting:
        words = f"no authority that you trust issued the certificate of {manifest.signer!r}"
        return MarkFinding(mark="signer", state="broken", words=words)
    if manifest.test:
        words = "a test certificate, which anybody can make: it does not say who signed"
    else:
        words = "no trusted authorities were named, so it is not known who that is"
    return MarkFinding(mark="signer", state="claimed", words=words)


def _input_words(one: Ingredient) -> str:
    used = "edited from an image" if one.relation == "parentOf" else "drawn from an image"
    if not one.signed:
        return f"{used}; it had no manifest"
    if one.faults:
        return f"{used}; its own manifest did not hold then: {'; '.join(one.faults)}"
    return f"{used}; its own manifest held then"


def _of_receipt(
    manifest: Manifest | None, text: Any, pixels: str
) -> tuple[dict[str, Any] | None, list[MarkFinding]]:
    signed = None if manifest is None or manifest.faults else manifest.receipt
    receipt = text if signed is None or is_same(text, signed) else signed
    if receipt is None:
        return None, [MarkFinding(mark="receipt", state="absent", words="none")]
    if not isinstance(receipt, dict) or receipt.get("schema") != SCHEMA:
        words = f"what the file says of itself is no receipt of the form {SCHEMA}"
        return None, [MarkFinding(mark="receipt", state="claimed", words=words)]

    if faults := faults_of(receipt):
        words = f"it breaks its schema: {'; '.join(faults)}"
        return None, [MarkFinding(mark="receipt", state="broken", words=words)]
    if signed is not None and text is not None and not is_same(text, signed):
        words = "the file's text is another receipt than the signed one"
        return receipt, [MarkFinding(mark="receipt", state="broken", words=words)]
    if receipt["image"]["sha256"] != pixels:
        words = "its pixels are not those of this picture"
        return receipt, [MarkFinding(mark="receipt", state="broken", words=words)]
    words = f"{_receipt_words(receipt)}; its pixels are those of this picture"
    if signed is not None:
        return receipt, [MarkFinding(mark="receipt", state="holds", words=f"signed; {words}")]
    words = f"not signed, so anybody could have written it; {words}"
    return receipt, [MarkFinding(mark="receipt", state="claimed", words=words)]


def _receipt_words(receipt: Mapping[str, Any]) -> str:
    guard = receipt["receipt"]
    if guard is None:
        return "the guard was off"
    return (
        f"guarded in {guard['guided_steps']} of {guard['steps']} steps"
        f" ({guard['safety'] or 'own settings'})"
    )


def _of_repeated(data: bytes) -> Iterator[MarkFinding]:
    """Texts that are there twice: which of them is shown depends on who reads the file."""
    names = text_names(data)
    for mark, name in (("receipt", METADATA), ("disclosure", XMP)):
        if (count := names.count(name)) > 1:
            words = f"the file has {count} texts named {name!r}, of which at most one is genuine"
            yield MarkFinding(mark=mark, state="broken", words=words)


def _of_disclosure(
    found: Mapping[str, str], receipt: dict[str, Any] | None, *, signed: bool
) -> Iterator[MarkFinding]:
    stated = found if receipt is None else read_disclosure(disclosure_of(receipt))
    if found and stated != found:
        names = ", ".join(n for n in {**stated, **found} if stated.get(n) != found.get(n))
        words = f"it says something else than the receipt: {names}"
        yield MarkFinding(mark="disclosure", state="broken", words=words)
        return
    if "id" not in found:
        words = "none; the file's XMP has no unique id" if found else "none"
        yield MarkFinding(mark="disclosure", state="absent", words=words)
        return
    provider = found.get("provider", "no provider named")
    words = (
        f"{provider}, {found.get('system')} {found.get('version')}, {found.get('time')},"
        f" {found['id']}"
    )
    yield MarkFinding(mark="disclosure", state="holds" if signed else "claimed", words=words)


def _of_fingerprint(manifest: Manifest | None, code: str) -> Iterator[MarkFinding]:
    bound = None if manifest is None or manifest.faults else manifest.bindings.get(ISCC)
    if bound is None:
        return
    bits = distance(bound, code)
    near = bits is not None and bits <= SIMILAR
    words = "that of this picture" if near else "another picture's"
    yield MarkFinding(mark="fingerprint", state="holds" if near else "broken", words=words)


def _of_watermark(name: str, payload: str | None, receipt: Mapping[str, Any] | None) -> MarkFinding:
    if payload is None:
        return MarkFinding(mark="watermark", state="absent", words=f"no {name}")
    if receipt is not None and not receipt["id"].replace("-", "").startswith(payload):
        words = f"{name} {payload} is not the beginning of the receipt's id"
        return MarkFinding(mark="watermark", state="broken", words=words)
    return MarkFinding(mark="watermark", state="claimed", words=f"{name} {payload}")
