"""Reads the certificates that a partner stores as PEM text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

PEM_MAX = 64 * 1024
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for certificates and keys that are malformed or that it does not support."""


class BadCertificate(ValueError):
    """The text is not a usable certificate; the message says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The details of a certificate that pages show."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    expires_at: datetime
    sha256: str


def read_pair(pem: str) -> Certificate:
    """Read the client certificate of a PEM text with its private key and, optionally, its chain.

    Errors: BadCertificate if either is missing, encrypted or unreadable, or they do not match.
    """
    certificates = _certificates(pem)
    keys = _PRIVATE_KEY.findall(pem)
    if len(keys) != 1:
        raise BadCertificate("enter the certificates and exactly one private key in PEM format")
    with _readable("the public key of the first certificate is not supported"):
        public_key = _public(certificates[0].public_key())
    if _public(_private_key(keys[0]).public_key()) != public_key:
        raise BadCertificate("the private key does not belong to the first certificate")
    return _details_of(certificates[0])


def read_authorities(pem: str) -> list[Certificate]:
    """Read the CA certificates of a PEM text.

    Errors: BadCertificate if there is none, or if the text contains a private key.
    """
    if _PRIVATE_KEY.search(pem):
        raise BadCertificate("remove the private key from the CA certificates")
    return [_details_of(certificate) for certificate in _certificates(pem)]


def read_der(der: bytes) -> Certificate:
    """Read the certificate of a server. Errors: BadCertificate."""
    with _readable("the certificate cannot be read"):
        certificate = x509.load_der_x509_certificate(der)
    return _details_of(certificate)


@contextmanager
def _readable(problem: str) -> Iterator[None]:
    """Turn errors of the library into BadCertificate with this text."""
    try:
        yield
    except _UNREADABLE as error:
        raise BadCertificate(problem) from error


def _details_of(certificate: x509.Certificate) -> Certificate:
    """The details that pages show, without names that cannot be read. Errors: BadCertificate."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [
            *alternative.get_values_for_type(x509.DNSName),
            *(str(address) for address in alternative.get_values_for_type(x509.IPAddress)),
        ]
    except (x509.ExtensionNotFound, *_UNREADABLE):
        names = []
    with _readable("the certificate cannot be read"):
        return Certificate(
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            names=tuple(names),
            expires_at=certificate.not_valid_after_utc,
            sha256=hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        )


def _certificates(pem: str) -> list[x509.Certificate]:
    if len(pem) > PEM_MAX:
        raise BadCertificate(f"the text is longer than {PEM_MAX // 1024} KB")
    with _readable("the text contains no PEM certificate (-----BEGIN CERTIFICATE-----)"):
        # Without the text around and between them, such as a key.
        return x509.load_pem_x509_certificates(_PRIVATE_KEY.sub("", pem).encode("ascii", "replace"))


def _private_key(pem: str) -> PrivateKeyTypes:
    try:
        with _readable("the private key cannot be read"):
            return load_pem_private_key(pem.encode("ascii", "replace"), None)
    except TypeError as error:
        raise BadCertificate("the private key is encrypted: enter it without a password") from error


def _public(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]
