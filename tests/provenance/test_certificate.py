from __future__ import annotations

import pytest

from safelatent.errors import BadValueError, UnsupportedError
from safelatent.provenance.certificate import TEST_NAME, Signer, read_authorities
from tests.provenance.authority import KINDS, PEM, authority, key_pem


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_and_its_key(tmp_path, kind):
    signer = Signer.load(*authority().files(tmp_path, kind=kind))
    assert (signer.name, signer.algorithm, signer.timestamp) == ("Example Ltd", kind, None)
    assert signer.chain.count(b"BEGIN CERTIFICATE") == 2
    assert b"BEGIN PRIVATE KEY" in signer.key
    assert "PRIVATE" not in repr(signer)


def test_a_key_of_another_form_is_taken_too(tmp_path):
    from cryptography.hazmat.primitives import serialization

    certificate, key = authority().files(tmp_path)
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    old = serialization.PrivateFormat.TraditionalOpenSSL
    key.write_bytes(private.private_bytes(PEM, old, serialization.NoEncryption()))
    assert b"BEGIN EC PRIVATE KEY" in key.read_bytes()
    assert b"BEGIN PRIVATE KEY" in Signer.load(certificate, key).key


def test_a_test_certificate_says_so_and_is_another_each_time():
    one, two = Signer.for_tests(), Signer.for_tests()
    assert one.name == two.name == TEST_NAME
    assert "test certificate" in TEST_NAME
    assert one.key != two.key


@pytest.mark.parametrize(
    ("which", "data", "message"),
    [
        (0, None, "the certificate .* cannot be read .No such file or directory."),
        (1, None, "the key .* cannot be read .No such file or directory."),
        (0, b"", "holds no certificate in PEM; give certificates, each from BEGIN"),
        (0, b"\x00\xff" * 40, "holds no certificate in PEM"),
        (1, b"nonsense", "is not a private key in PEM; give the key of the certificate"),
        (1, key_pem(KINDS["es256"](), b"secret"), "is encrypted; decrypt it: openssl pkey -in"),
        (1, key_pem(KINDS["es256"]()), "does not belong to the first certificate of"),
        (1, key_pem(KINDS["ps256"]()), "does not belong to the first certificate of"),
    ],
)
def test_files_that_cannot_be_used_are_one_line(tmp_path, which, data, message):
    files = authority().files(tmp_path)
    files[which].unlink()
    if data is not None:
        files[which].write_bytes(data)
    with pytest.raises(BadValueError, match=message) as caught:
        Signer.load(*files)
    assert "\n" not in str(caught.value)
    assert "http" not in str(caught.value)  # what the library says, cut off


@pytest.mark.parametrize("days", [(-9, -1), (1, 9)])
def test_a_certificate_that_is_not_valid_today_is_refused(tmp_path, days):
    with pytest.raises(BadValueError, match=r"is valid from 20.* to 20.*, and not now; renew it"):
        Signer.load(*authority().files(tmp_path, days=days))


def test_a_kind_of_key_that_c2pa_does_not_know_is_refused(tmp_path, monkeypatch):
    from cryptography.hazmat.primitives.asymmetric import rsa

    monkeypatch.setitem(KINDS, "short", lambda: rsa.generate_private_key(65537, 1024))
    with pytest.raises(BadValueError, match="RSA of at least 2048 bits"):
        Signer.load(*authority().files(tmp_path, kind="short"))


@pytest.mark.parametrize("address", ["", "timestamp.example.com", "ftp://example.com", "http://"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(BadValueError, match="give its address, for example http://"):
        Signer.for_tests(timestamp=address)


def test_authorities_to_trust(tmp_path):
    file = tmp_path / "authorities.pem"
    with pytest.raises(BadValueError, match=r"the trust file .* cannot be read"):
        read_authorities(file)
    file.write_bytes(b"nobody")
    with pytest.raises(BadValueError, match="holds no certificate in PEM"):
        read_authorities(file)
    file.write_bytes(authority().pem * 2)
    assert read_authorities(file) == authority().pem * 2


def test_without_the_extra_the_message_names_the_pip_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cryptography.x509", None)
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(UnsupportedError, match=r'run pip install "safelatent\[provenance\]"'):
        Signer.for_tests()
