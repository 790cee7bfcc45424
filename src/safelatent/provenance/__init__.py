"""Where an image comes from, in a form that others can verify.

    log = AuditLog(file=Path("audit.jsonl"))
    seal = Seal(provider="Example Ltd", signer=Signer.load(certificate, key), log=log)
    sealed = seal(out.images[0], receipt=out.receipts[0], prompt="a dog", model="embedded")
    Path("dog.png").write_bytes(sealed.png)
    print(verify(Path("dog.png"), log=log).verdict)

``guard`` knows nothing of it. Names are imported when they are first used; a signature, a log and
``verify`` need ``pip install "safelatent[provenance]"``.
"""

from typing import TYPE_CHECKING

from safelatent.lazy import lazy_names

if TYPE_CHECKING:
    from safelatent.provenance.audit_log import AuditLog
    from safelatent.provenance.certificate import Signer
    from safelatent.provenance.chain import LogCheck, check_log
    from safelatent.provenance.comparing import MarkFinding
    from safelatent.provenance.manifest import InputImage, Manifest, read_manifest
    from safelatent.provenance.marks import TrustMark, Watermark, distance, fingerprint
    from safelatent.provenance.receipt import System
    from safelatent.provenance.seal import Seal, Sealed
    from safelatent.provenance.verifying import Verification, verify

_HOMES = {
    "audit_log": ("AuditLog",),
    "certificate": ("Signer",),
    "chain": ("LogCheck", "check_log"),
    "comparing": ("MarkFinding",),
    "manifest": ("InputImage", "Manifest", "read_manifest"),
    "marks": ("TrustMark", "Watermark", "distance", "fingerprint"),
    "receipt": ("System",),
    "seal": ("Seal", "Sealed"),
    "verifying": ("Verification", "verify"),
}

__all__ = [
    "AuditLog",
    "InputImage",
    "LogCheck",
    "Manifest",
    "MarkFinding",
    "Seal",
    "Sealed",
    "Signer",
    "System",
    "TrustMark",
    "Verification",
    "Watermark",
    "check_log",
    "distance",
    "fingerprint",
    "read_manifest",
    "verify",
]

if not TYPE_CHECKING:  # to a type checker, a module with __getattr__ has every name
    __getattr__ = lazy_names(__name__, _HOMES)
