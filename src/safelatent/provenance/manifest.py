"""Signed C2PA manifests inside PNG files (C2PA 2.x, https://spec.c2pa.org): written last, so that
nothing of ours breaks a signature, and read with C2PA's own library.

Nothing is fetched: no remote manifest, no revocation list. The one request is to the time-stamp
authority that the signer names.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from safelatent.errors import BadValueError
from safelatent.optional import require
from safelatent.provenance.certificate import PURPOSES, TEST_NAME, Signer
from safelatent.text import one_line, squeezed

RECEIPT = "org.safelatent.receipt"  # the assertion that holds the receipt
BINDING = "c2pa.soft-binding"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = f"{SOURCE_TYPES}trainedAlgorithmicMedia"
EDITED = f"{SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia"
_OFFLINE = {"remote_manifest_fetch": False, "ocsp_fetch": False}
_UNTRUSTED = ("signingCredential.untrusted", "timeStamp.untrusted")

Relation = Literal["inputTo", "parentOf"]


@dataclass(frozen=True, kw_only=True)
class InputImage:
    """An image that was made use of, with whatever marks its file carries.

    Attributes:
        data: the bytes of its file.
        format: its MIME type, for example ``image/png``.
        relation: ``inputTo``, the model drew a new image from it (image to image); ``parentOf``,
            a part of it was changed and the rest is the same (inpainting).
        title: shown by readers of the manifest.
    """

    data: bytes
    format: str
    relation: Relation = "inputTo"
    title: str = "input"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a signed manifest says, and whether it holds.

    Attributes:
        faults: why it does not hold, in the words of C2PA's library; empty if it does.
        signer: the name in the certificate.
        trusted: whether the certificate is issued by an authority that the reader trusts.
        time: when it was signed (RFC 3339), by a time-stamp authority; None without one.
        time_trusted: whether the reader trusts that authority.
        source_types: IPTC's digital source types of its actions.
        receipt: of safelatent; None if it has none.
        bindings: fingerprint and watermark, by the name in C2PA's list of soft bindings.
        inputs: the images that were made use of.
    """

    faults: tuple[str, ...]
    signer: str = "unknown"
    trusted: bool = False
    time: str | None = None
    time_trusted: bool = False
    source_types: tuple[str, ...] = ()
    receipt: dict[str, Any] | None = None
    bindings: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Ingredient, ...] = ()

    @property
    def test(self) -> bool:
        """Whether the certificate is one of ``Signer.for_tests``, by its name."""
        return self.signer == TEST_NAME


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """An input image as a manifest keeps it.

    Attributes:
        title, relation: see ``InputImage``.
        signed: whether it came with a manifest.
        faults: why that did not hold when the image was made use of.
    """

    title: str
    relation: str
    signed: bool
    faults: tuple[str, ...]


def sign_png(
    png: bytes,
    signer: Signer,
    *,
    receipt: Mapping[str, Any],
    bindings: Mapping[str, str],
    inputs: Sequence[InputImage] = (),
) -> bytes:
    """Return the file with a signed manifest in it.

    Args:
        png: the file, complete: any later change breaks the signature.
        receipt: plain values; signed with the image, which is titled by its ``id``.
        bindings: what finds the image again without its file (fingerprint, watermark), by the
            name in C2PA's list of soft bindings.
        inputs: kept as ingredients, with their own manifests.

    Raises:
        BadValueError: C2PA does not take the certificate or an input, or the time-stamp authority
            does not answer; there is no signed file.
        UnsupportedError: the extra ``provenance`` is not installed.
    """
    c2pa = _c2pa("a signature")
    try:
        return _signed(c2pa, png, signer, _definition(receipt, bindings), inputs)
    except c2pa.C2paError as error:
        message = squeezed(error)
        if signer.timestamp is not None:
            # Whose fault it is shows where nobody is asked for the time; that file is thrown away.
            alone = replace(signer, timestamp=None)
            sign_png(png, alone, receipt=receipt, bindings=bindings, inputs=inputs)
            raise BadValueError(
                f"the time-stamp authority {signer.timestamp} gives no time stamp ({message});"
                " nothing was signed: try again later, or sign without a time stamp"
            ) from error
        raise BadValueError(
            f"C2PA does not sign with the certificate of {signer.name!r} ({message}); it must be"
            " issued for signing claims or documents, with its authorities' certificates after it"
        ) from error


def _signed(
    c2pa: Any,
    png: bytes,
    signer: Signer,
    definition: dict[str, Any],
    inputs: Sequence[InputImage],
) -> bytes:
    info = c2pa.C2paSignerInfo(
        signer.algorithm.encode(), signer.chain, signer.key, signer.timestamp
    )
    builder = c2pa.Builder(definition, context=_context(c2pa))
    if any(image.relation == "parentOf" for image in inputs):
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
        builder.add_action({"action": "c2pa.edited", "digitalSourceType": EDITED})
    else:
        source = c2pa.C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA
        builder.set_intent(c2pa.C2paBuilderIntent.CREATE, source)
    for image in inputs:
        ingredient = {"title": image.title, "relationship": image.relation}
        try:
            builder.add_ingredient(ingredient, image.format, io.BytesIO(image.data))
        except c2pa.C2paError as error:
            raise BadValueError(
                f"the input {image.title!r} is no {image.format} that C2PA reads"
                f" ({squeezed(error)}); give the bytes of its file, and their MIME type"
            ) from error
    signed = io.BytesIO()
    with c2pa.Signer.from_info(info) as native:
        builder.sign(native, "image/png", io.BytesIO(png), signed)
    return signed.getvalue()


def read_manifest(data: bytes, trust: bytes | None = None) -> Manifest | None:
    """Return the manifest of a file of any kind; None if it has none.

    Args:
        data: the bytes of the file.
        trust: PEM; the certificates of the authorities that are trusted, for signatures and time
            stamps. None trusts nobody, and then says so.

    Raises:
        UnsupportedError: the extra ``provenance`` is not installed.
    """
    c2pa = _c2pa("reading a manifest")
    try:
        with c2pa.Reader(io.BytesIO(data), context=_context(c2pa, trust=trust)) as reader:
            store = json.loads(reader.json())
            state = reader.get_validation_state()
    except (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported):
        return None  # the second: a kind of file that cannot have one
    except c2pa.C2paError as error:
        return Manifest(faults=(f"it cannot be read ({squeezed(error)})",))
    try:
        active = store["manifests"][store["active_manifest"]]
        return _manifest(active, store["validation_results"]["activeManifest"], state)
    except (LookupError, TypeError, AttributeError) as error:  # what was changed in it
        return Manifest(faults=(f"it cannot be read ({one_line(error)})",))


def _manifest(active: Mapping[str, Any], results: Mapping[str, Any], state: str) -> Manifest:
    codes = {entry["code"] for kind in results.values() for entry in kind}
    faults = _faults(results)
    if state not in ("Valid", "Trusted") and not faults:
        faults = (f"C2PA's library finds it {state}",)
    signature = active.get("signature_info", {})
    assertions = {one["label"]: one["data"] for one in active["assertions"]}
    bound = [one["data"] for one in active["assertions"] if one["label"] == BINDING]
    receipt = assertions.get(RECEIPT)
    actions = assertions.get("c2pa.actions.v2", assertions.get("c2pa.actions", {}))
    sources = [action.get("digitalSourceType") for action in actions.get("actions", [])]
    return Manifest(
        faults=faults,
        signer=str(signature.get("common_name") or signature.get("issuer") or "unknown"),
        trusted="signingCredential.trusted" in codes,
        time=signature.get("time") if "timeStamp.validated" in codes else None,
        time_trusted="timeStamp.trusted" in codes,
        source_types=tuple(source for source in sources if source),
        receipt=receipt if isinstance(receipt, dict) else None,
        bindings={
            str(one.get("alg")): str(block.get("value"))
            for one in bound
            for block in one.get("blocks", [])[:1]
        },
        inputs=tuple(_ingredient(one) for one in active.get("ingredients", [])),
    )


def _ingredient(one: Mapping[str, Any]) -> Ingredient:
    results = one.get("validation_results", {}).get("activeManifest", {})
    return Ingredient(
        title=one.get("title", ""),
        relation=one["relationship"],
        signed="active_manifest" in one,
        faults=_faults(results),
    )


def _faults(results: Mapping[str, Any]) -> tuple[str, ...]:
    """What does not hold; that nobody vouches for the signer is no fault of the file."""
    failures = [one for one in results.get("failure", []) if one["code"] not in _UNTRUSTED]
    return tuple(f"{one['code']}: {one.get('explanation', '')}" for one in failures)


def _definition(receipt: Mapping[str, Any], bindings: Mapping[str, str]) -> dict[str, Any]:
    bound = [
        {"alg": name, "blocks": [{"scope": {}, "value": value}]} for name, value in bindings.items()
    ]
    return {
        "claim_generator_info": [dict(receipt["system"])],
        "title": f"{receipt['id']}.png",
        "assertions": [
            {"label": RECEIPT, "data": dict(receipt), "kind": "Json"},
            *({"label": BINDING, "data": one} for one in bound),
        ],
    }


def _context(c2pa: Any, *, trust: bytes | None = None) -> Any:
    trusted = {} if trust is None else {"user_anchors": trust.decode("utf-8", "replace")}
    settings = {
        "verify": _OFFLINE,
        "builder": {"thumbnail": {"enabled": False}},
        "trust": trusted | {"trust_config": "\n".join(PURPOSES)},
    }
    return c2pa.Context.from_dict(settings)


def _c2pa(purpose: str) -> Any:
    return require("c2pa", extra="provenance", purpose=purpose)
