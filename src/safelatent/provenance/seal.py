"""From an image to the file that is given out: marked, described, signed and logged, in this order,
so that nothing that is written later breaks what was written before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from PIL import Image

from safelatent.errors import BadValueError
from safelatent.provenance.certificate import Signer
from safelatent.provenance.manifest import InputImage, sign_png
from safelatent.provenance.marks import ISCC, Watermark, fingerprint
from safelatent.provenance.png import disclosure_of, encode_png
from safelatent.provenance.receipt import (
    SAFELATENT,
    System,
    check_named,
    faults_of,
    new_receipt,
)

if TYPE_CHECKING:
    from safelatent.provenance.audit_log import AuditLog  # locks files, which not every system can

# What the seal writes itself: another value would be signed beside what is true.
OWN = ("schema", "id", "time", "provider", "system", "watermark")
SAVED = "saved"  # the safety of a guard that came with its model: it has no other name
TEXTS = ("prompt", "negative_prompt", "request")  # what the log conceals


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A file that may be given out.

    Attributes:
        png: its bytes; any change breaks the signature, if there is one.
        receipt: what it says.
    """

    png: bytes
    receipt: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Seal:
    """How images are described before they are given out.

        seal = Seal(provider="Example Ltd", signer=Signer.load(certificate, key), log=log)
        out = safe("a dog", num_inference_steps=30)
        sealed = seal(out.images[0], receipt=out.receipts[0], prompt="a dog", model="embedded")
        Path("dog.png").write_bytes(sealed.png)

    Attributes:
        provider: who offers the system; None leaves it out.
        system: what it is called.
        signer: None leaves the file unsigned.
        log: gets an entry, on the disk, before the file is returned; None keeps none.
        watermark: is put into the picture first, with the first digits of the receipt's id.

    Raises:
        BadValueError: the provider is blank or cannot be printed.
    """

    provider: str | None = None
    system: System = SAFELATENT
    signer: Signer | None = None
    log: AuditLog | None = None
    watermark: Watermark | None = None

    def __post_init__(self) -> None:
        if self.provider is not None:
            check_named("the provider", self.provider)

    def __call__(
        self, image: Image.Image, *, receipt: Any, inputs: Sequence[InputImage] = (), **facts: Any
    ) -> Sealed:
        """Return the image as a file that may be given out.

        Args:
            image: as the guarded call returned it.
            receipt: of the same call (``out.receipts[n]``); None for an unguarded image.
            inputs: the images that it was made from.
            facts: ``prompt``, ``seed``, ``model`` and whatever else the receipt's schema has.

        Raises:
            BadValueError: not a PIL image, a fact that the schema does not have or that the seal
                knows itself, C2PA does not take the certificate, or the time-stamp authority does
                not answer; nothing was signed or logged.
            OSError: the log cannot be written; the file must not be given out.
            UnsupportedError: the extra ``provenance`` is not installed, and is needed.
        """
        if not isinstance(image, Image.Image):
            raise BadValueError(
                f"the image is a {type(image).__name__}; give a PIL image, as a pipeline returns it"
                " with output_type='pil'"
            )
        known = {
            "safety": _safety(facts, receipt),
            "receipt": None if receipt is None else receipt.as_dict(),
        }
        identity = str(uuid4())
        picture, mark = self._marked(image.convert("RGB"), identity)
        if mark is not None:
            known["watermark"] = mark
        described = new_receipt(
            picture,
            facts | known,
            identity=identity,
            provider=self.provider,
            system=self.system,
            inputs=inputs,
        )
        return Sealed(png=self._signed_and_logged(picture, described, inputs), receipt=described)

    def check(self) -> None:
        """Raise now what a call would raise: seal a small picture, and throw it away unlogged.

        Raises:
            BadValueError, OSError, UnsupportedError: as a call.
        """
        trial = Image.new("RGB", (64, 64))
        replace(self, log=None)(trial, receipt=None)
        if self.log is not None:
            fingerprint(trial)
            faults_of({})
            self.log.check()

    def refuse(self, error: Exception, **facts: Any) -> None:
        """Log that a request was refused and gave no image.

        Args:
            error: what is answered; its kind is logged, its message might quote the prompt.
            facts: as in a call.

        Raises:
            OSError: the log cannot be written.
        """
        if self.log is not None:
            record = {name: value for name, value in facts.items() if name not in TEXTS}
            texts = {name: facts[name] for name in TEXTS if name in facts}
            self.log.append("refused", {"error": type(error).__name__, "facts": record}, texts)

    def _marked(
        self, picture: Image.Image, identity: str
    ) -> tuple[Image.Image, dict[str, str] | None]:
        if self.watermark is None:
            return picture, None
        payload = identity.replace("-", "")[: self.watermark.digits]
        return self.watermark.mark(picture, payload), {
            "name": self.watermark.name,
            "payload": payload,
        }

    def _signed_and_logged(
        self, picture: Image.Image, receipt: dict[str, Any], inputs: Sequence[InputImage]
    ) -> bytes:
        png = encode_png(picture, receipt, disclosure_of(receipt))
        if self.signer is None and self.log is None:
            return png
        if faults := faults_of(receipt):
            raise BadValueError(f"the receipt breaks its schema: {'; '.join(faults)}")
        code = fingerprint(picture)
        if self.signer is not None:
            bindings = {ISCC: code}
            if mark := receipt.get("watermark"):
                bindings[mark["name"]] = mark["payload"]
            png = sign_png(png, self.signer, receipt=receipt, bindings=bindings, inputs=inputs)
        if self.log is not None:
            record = {
                "receipt": {name: value for name, value in receipt.items() if name not in TEXTS},
                "file": sha256(png).hexdigest(),
                "iscc": code,
                "signer": None if self.signer is None else self.signer.name,
            }
            texts = {name: receipt[name] for name in TEXTS if name in receipt}
            self.log.append("image", record, texts)
        return png


def _safety(facts: Mapping[str, Any], receipt: Any) -> str | None:
    """Return what the published receipt says of the safety: what the guard counted, and never
    another name that was asked for. Settings on top of a preset leave it without a name.

    Raises:
        BadValueError: a fact that the seal knows itself.
    """
    for name in OWN:
        if name in facts:
            raise BadValueError(
                f"{name} is {facts[name]!r}, and the seal writes that itself, by its own settings;"
                " leave it out"
            )
    counted = "off" if receipt is None else receipt.safety
    asked = facts.get("safety", counted)
    if asked == SAVED and receipt is not None:
        return SAVED
    if counted is not None and asked != counted:
        raise BadValueError(f"safety is {asked!r}, and the receipt says {counted!r}; leave it out")
    return counted
