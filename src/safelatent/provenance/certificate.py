"""Who signs: a certificate with its chain and the private key that belongs to it.

C2PA takes X.509 certificates that a certificate authority issued for signing (C2PA 2.x, "Trust
model"); which of them a reader trusts is the reader's own choice. ``Signer.for_tests`` makes a
certificate that says in its name that it proves nothing about anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from safelatent.errors import BadValueError
from safelatent.optional import require

TEST_NAME = "safelatent test certificate"  # anybody can make one
_TEST_DAYS = 1
# The purposes of keys that C2PA takes: e-mail, documents (RFC 9336), C2PA claims, Microsoft's. The
# first is the one that readers take without further settings.
PURPOSES = (
    "1.3.6.1.5.5.7.3.4",
    "1.3.6.1.5.5.7.3.36",
    "1.3.6.1.4.1.62558.2.1",
    "1.3.6.1.4.1.311.76.59.1.9",
)
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True, kw_only=True)
class Signer:
    """What a manifest is signed with; made by ``load`` or ``for_tests``.

    Attributes:
        name: of the certificate's subject.
        algorithm: as C2PA names it: es256, es384, es512, ps256 or ed25519.
        chain: PEM, the signer's certificate first.
        key: PEM (PKCS 8), not encrypted.
        timestamp: address of an RFC 3161 time-stamp authority; None signs without a time stamp.
    """

    name: str
    algorithm: str
    chain: bytes
    key: bytes = field(repr=False)
    timestamp: str | None = None

    def __post_init__(self) -> None:
        if self.timestamp is None:
            return
        address = urlsplit(self.timestamp)
        if address.scheme not in ("http", "https") or not address.netloc:
            raise BadValueError(
                f"the time-stamp authority is {self.timestamp!r}; give its address, for example"
                " http://timestamp.example.com"
            )

    @classmethod
    def load(cls, certificate: Path, key: Path, *, timestamp: str | None = None) -> Signer:
        """Return the signer of a certificate file and a key file.

        Args:
            certificate: PEM; the signer's certificate, followed by those of its authorities.
            key: PEM, not encrypted: the private key of the first certificate.
            timestamp: address of an RFC 3161 time-stamp authority.

        Raises:
            BadValueError: a file cannot be read or understood, the key belongs to another
                certificate, or the certificate is not valid today.
            UnsupportedError: the extra ``provenance`` is not installed.
        """
        chain = _certificates(certificate, _read("certificate", certificate))
        private = _private_key(key)
        if _public(chain[0].public_key()) != _public(private.public_key()):
            raise BadValueError(
                f"the key {str(key)!r} does not belong to the first certificate of"
                f" {str(certificate)!r}; give the key that it was issued for"
            )
        _check_dates(certificate, chain[0])
        return _signer(chain, private, key, timestamp)

    @classmethod
    def for_tests(cls, *, timestamp: str | None = None) -> Signer:
        """Return a signer whose certificate was made just now, for a key that is kept nowhere.

        It shows that a file is unchanged since it was signed, and not by whom: anybody can make
        such a certificate.

        Raises:
            UnsupportedError: the extra ``provenance`` is not installed.
        """
        ec = _crypto("hazmat.primitives.asymmetric.ec")
        above, below = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root = _issued(f"{TEST_NAME} authority", above, None, above)
        leaf = _issued(TEST_NAME, below, root, above)
        return _signer([leaf, root], below, None, timestamp)


def read_authorities(file: Path) -> bytes:
    """Return a file of certificates, in PEM, whose holders are trusted.

    Raises:
        BadValueError: it cannot be read, or holds no certificate.
        UnsupportedError: the extra ``provenance`` is not installed.
    """
    data = _read("trust file", file)
    _certificates(file, data)
    return data


def _certificates(file: Path, data: bytes) -> list[Any]:
    try:
        return _crypto("x509").load_pem_x509_certificates(data)
    except ValueError:
        raise BadValueError(
            f"{str(file)!r} holds no certificate in PEM; give certificates, each from BEGIN"
            " CERTIFICATE to END CERTIFICATE"
        ) from None


def _signer(chain: list[Any], private: Any, key: Path | None, timestamp: str | None) -> Signer:
    serialization = _crypto("hazmat.primitives.serialization")
    pem = serialization.Encoding.PEM
    names = chain[0].subject.get_attributes_for_oid(_crypto("x509.oid").NameOID.COMMON_NAME)
    return Signer(
        name=names[0].value if names else chain[0].subject.rfc4514_string(),
        algorithm=_algorithm(private, key),
        chain=b"".join(certificate.public_bytes(pem) for certificate in chain),
        key=private.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        timestamp=timestamp,
    )


def _read(what: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadValueError(
            f"the {what} {str(file)!r} cannot be read ({error.strerror}); give a file in PEM"
        ) from None


def _private_key(file: Path) -> Any:
    data = _read("key", file)
    try:
        return _crypto("hazmat.primitives.serialization").load_pem_private_key(data, password=None)
    except TypeError:
        raise BadValueError(
            f"the key {str(file)!r} is encrypted; decrypt it: openssl pkey -in {file} -out KEY"
        ) from None
    except ValueError:
        raise BadValueError(
            f"{str(file)!r} is not a private key in PEM; give the key of the certificate"
        ) from None


def _public(key: Any) -> bytes:
    serialization = _crypto("hazmat.primitives.serialization")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.DER, form)


def _check_dates(file: Path, certificate: Any) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= datetime.now(UTC) <= end:
        raise BadValueError(
            f"the certificate {str(file)!r} is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, and"
            " not now; renew it"
        )


def _algorithm(key: Any, file: Path | None) -> str:
    asymmetric = "hazmat.primitives.asymmetric"
    if isinstance(key, _crypto(f"{asymmetric}.ed25519").Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, _crypto(f"{asymmetric}.rsa").RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    curve = getattr(getattr(key, "curve", None), "name", "")
    curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
    if curve in curves:
        return curves[curve]
    raise BadValueError(
        f"the key {str(file)!r} is of a kind that C2PA does not sign with; use P-256, P-384, P-521,"
        " Ed25519, or RSA of at least 2048 bits"
    )


def _issued(name: str, key: Any, authority: Any, signing: Any) -> Any:
    """A certificate for ``key``; without an authority, that of one."""
    x509 = _crypto("x509")
    oid = _crypto("x509.oid").NameOID
    subject = x509.Name(
        [
            x509.NameAttribute(oid.COMMON_NAME, name),
            x509.NameAttribute(oid.ORGANIZATION_NAME, "anybody; it proves nothing about whom"),
        ]
    )
    is_authority = authority is None
    used = {"key_cert_sign", "crl_sign"} if is_authority else {"digital_signature"}
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if is_authority else authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_TEST_DAYS))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{use: use in used for use in USAGES}), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
        )
    )
    if not is_authority:
        purpose = x509.ExtendedKeyUsage([x509.ObjectIdentifier(PURPOSES[0])])
        builder = builder.add_extension(purpose, critical=True)
    return builder.sign(signing, _crypto("hazmat.primitives.hashes").SHA256())


def _crypto(module: str) -> Any:
    return require(f"cryptography.{module}", extra="provenance", purpose="a signature")
