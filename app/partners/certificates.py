"""Certificates as PEM texts: what is in them, and the files that TLS wants them in.

They are kept with the partner, so that every machine that delivers has them; the files are made where they
are needed, with mode 0600, and named by their content: a renewed certificate has a new name.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

LONGEST_PEM = 64 * 1024
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)

_folder = Path("instance/certificates")


class BadCertificate(ValueError):
    """What was given is no usable certificate; the text says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What people want to know of a certificate."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    expires_at: datetime
    sha256: str


def keep_in(folder: Path) -> None:
    """Where the files are made from now on."""
    global _folder  # noqa: PLW0603 - one process has one instance folder
    _folder = folder


def read_pair(pem: str) -> Certificate:
    """The client certificate in a PEM text that also holds its private key and perhaps its chain.

    Errors: BadCertificate where either is missing, encrypted or unreadable, or they do not belong together.
    """
    found = _certificates(pem)
    keys = _PRIVATE_KEY.findall(pem)
    if len(keys) != 1:
        raise BadCertificate("the text holds certificates and exactly one private key, as PEM")
    if _public(_private_key(keys[0]).public_key()) != _public(found[0].public_key()):
        raise BadCertificate("the private key does not belong to the first certificate")
    return told_of(found[0])


def read_authorities(pem: str) -> list[Certificate]:
    """The authorities in a PEM text.

    Errors: BadCertificate where there is none, or a private key beside them.
    """
    if _PRIVATE_KEY.search(pem):
        raise BadCertificate("a private key has no place among the authorities")
    return [told_of(one) for one in _certificates(pem)]


def read_der(der: bytes) -> Certificate:
    """The certificate that a server showed. Errors: BadCertificate."""
    try:
        return told_of(x509.load_der_x509_certificate(der))
    except ValueError as error:
        raise BadCertificate("the certificate cannot be read") from error


def told_of(certificate: x509.Certificate) -> Certificate:
    """What people want to know of it."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [
            *alternative.get_values_for_type(x509.DNSName),
            *(str(address) for address in alternative.get_values_for_type(x509.IPAddress)),
        ]
    except (x509.ExtensionNotFound, ValueError):
        names = []
    return Certificate(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=tuple(names),
        expires_at=certificate.not_valid_after_utc,
        sha256=hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
    )


def file_of(pem: str) -> str:
    """The file with exactly this text, made where it is missing.

    Where it cannot be made the name comes all the same: TLS then says that the file is not there.
    """
    path = _folder / f"{hashlib.sha256(pem.encode()).hexdigest()[:32]}.pem"
    try:
        if not path.exists():
            _write(path, pem)
    except OSError:
        pass
    return str(path)


def _write(path: Path, pem: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Whoever opens the file finds all of it: it gets its name when it is complete.
    beside = path.with_suffix(f".{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(pem)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _certificates(pem: str) -> list[x509.Certificate]:
    if len(pem) > LONGEST_PEM:
        raise BadCertificate(f"the text is longer than {LONGEST_PEM // 1024} KB")
    try:
        # Without what stands around and between them, such as a key or a bag's attributes.
        found = x509.load_pem_x509_certificates(_PRIVATE_KEY.sub("", pem).encode("ascii", "replace"))
    except ValueError as error:
        raise BadCertificate("the text holds no certificate as PEM (-----BEGIN CERTIFICATE-----)") from error
    return found


def _private_key(pem: str) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem.encode("ascii", "replace"), None)
    except TypeError as error:
        raise BadCertificate("the private key is encrypted; give it without a password") from error
    except ValueError as error:
        raise BadCertificate("the private key cannot be read") from error


def _public(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]
