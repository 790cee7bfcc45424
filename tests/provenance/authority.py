"""A certificate authority and a time-stamp authority for tests, made anew for each."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from safelatent.guidance.receipt import Receipt
from safelatent.provenance.certificate import PURPOSES, USAGES, Signer

PEM = serialization.Encoding.PEM
TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
KINDS = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "es512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
}
GUARDED = Receipt(
    safety="max",
    concept="blood",
    settings={"warmup": 0},
    steps=10,
    guided_steps=9,
    evaluations=30,
    gate_open=0.5,
    gamma_ratio=0.25,
)


def key_pem(key: Any, password: bytes | None = None) -> bytes:
    hidden = serialization.BestAvailableEncryption(password) if password else None
    return key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, hidden or serialization.NoEncryption()
    )


class Authority:
    """Issues certificates."""

    def __init__(self, name: str = "Example authority") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.issue(self.key, name, purpose=None, root=True)

    def issue(
        self,
        key: Any,
        name: str,
        *,
        purpose: str | None = PURPOSES[0],
        days: tuple[int, int] = (-1, 30),
        root: bool = False,
    ) -> x509.Certificate:
        """A certificate for ``key``, valid between two days from now."""
        now = datetime.now(UTC)
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, name),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            ]
        )
        used = {"key_cert_sign", "crl_sign"} if root else {"digital_signature"}
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if root else self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=root, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**{n: n in used for n in USAGES}), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if purpose is not None:
            usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose)])
            builder = builder.add_extension(usage, critical=True)
        return builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    def files(
        self, folder: Path, name: str = "Example Ltd", *, kind: str = "es256", **options: Any
    ) -> tuple[Path, Path]:
        """Files of a certificate with its chain and of its key."""
        key = KINDS[kind]()
        certificate, secret = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.issue(key, name, **options).public_bytes(PEM) + self.pem)
        secret.write_bytes(key_pem(key))
        return certificate, secret


@cache
def authority() -> Authority:
    return Authority()


@cache
def for_tests() -> Signer:
    return Signer.for_tests()


@contextmanager
def time_stamps(folder: Path, by: Authority) -> Iterator[str]:
    """The address of a time-stamp authority (openssl) that lives for the block."""
    key = ec.generate_private_key(ec.SECP256R1())
    stamping = by.issue(key, "Example time stamps", purpose=TIME_STAMPING)
    (folder / "tsa.pem").write_bytes(stamping.public_bytes(PEM))
    (folder / "ca.pem").write_bytes(by.pem)
    (folder / "tsa.key").write_bytes(key_pem(key))
    (folder / "serial").write_text("01")
    (folder / "openssl.cnf").write_text(
        f"[tsa]\ndefault_tsa = t\n[t]\nserial = {folder}/serial\nsigner_cert = {folder}/tsa.pem\n"
        f"certs = {folder}/ca.pem\nsigner_key = {folder}/tsa.key\nsigner_digest = sha256\n"
        "default_policy = 1.2.3.4.1\ndigests = sha256, sha384, sha512\ness_cert_id_chain = yes\n"
        "ess_cert_id_alg = sha256\n"
    )

    def answer(query: bytes) -> bytes:
        (folder / "query").write_bytes(query)
        call = ["openssl", "ts", "-reply", "-config", str(folder / "openssl.cnf")]
        call += ["-queryfile", str(folder / "query")]
        return subprocess.run(call, capture_output=True, check=True).stdout

    with serving(answer) as address:
        yield address


@contextmanager
def serving(answer: Any) -> Iterator[str]:
    """The address of a server that answers every POST with ``answer(body)``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: Any = "-", size: Any = "-") -> None:
            """Print nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
