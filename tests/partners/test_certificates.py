"""Certificates that are malformed or not supported are rejected with a reason."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtensionOID, NameOID

from app.partners.certificates import BadCertificate, read_authorities, read_der, read_pair

KEY = ec.generate_private_key(ec.SECP256R1())
KEY_DER = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
CURVE, UNKNOWN_CURVE = bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030163")


def certificate(*extensions: tuple[str, str]) -> bytes:
    """A self-signed certificate with extensions of these OIDs and hexadecimal values."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "name.example")])
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=KEY.public_key(),
        serial_number=1,
        not_valid_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2030, 1, 1, tzinfo=UTC),
    )
    for oid, value in extensions:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), bytes.fromhex(value))
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def pem(der: bytes, kind: str = "CERTIFICATE") -> str:
    return f"-----BEGIN {kind}-----\n{base64.encodebytes(der).decode()}-----END {kind}-----\n"


def pair(der: bytes, key: bytes = KEY_DER) -> str:
    return pem(der) + pem(key, "PRIVATE KEY")


OTHER_VERSION = certificate().replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020107"))
NAME_NOT_UTF8 = certificate().replace(b"name.example", b"nam\xff.example")
TWO_EXTENSIONS = certificate(("1.2.3.4.5", "0500"), ("1.2.3.4.6", "0500"))
REPEATED_EXTENSION = TWO_EXTENSIONS.replace(bytes.fromhex("06042a030406"), bytes.fromhex("06042a030405"))
X400_NAME = certificate((ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string, "3004a3020500"))


@pytest.mark.parametrize("der", [OTHER_VERSION, NAME_NOT_UTF8, b"nonsense"])
@pytest.mark.parametrize(
    "read",
    [read_der, lambda der: read_authorities(pem(der)), lambda der: read_pair(pair(der))],
    ids=["server", "CA", "client"],
)
def test_malformed_certificate_is_rejected(read: Callable[[bytes], object], der: bytes) -> None:
    with pytest.raises(BadCertificate):
        read(der)


@pytest.mark.parametrize("der", [REPEATED_EXTENSION, X400_NAME])
def test_certificate_with_unreadable_names_has_none(der: bytes) -> None:
    for details in (read_der(der), *read_authorities(pem(der)), read_pair(pair(der))):
        assert (details.subject, details.names) == ("CN=name.example", ())


def test_unsupported_key_is_rejected() -> None:
    with pytest.raises(BadCertificate, match="public key of the first certificate is not supported"):
        read_pair(pair(certificate().replace(CURVE, UNKNOWN_CURVE)))
    with pytest.raises(BadCertificate, match="private key cannot be read"):
        read_pair(pair(certificate(), KEY_DER.replace(CURVE, UNKNOWN_CURVE)))
