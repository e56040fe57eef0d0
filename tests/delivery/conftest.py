"""A sender, certificates and name lookups for tests over real sockets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import pytest
import trustme

from app.delivery.http_client import Sender
from tests.delivery.misbehaving import server_context
from tests.delivery.posting import NameServer, Transport


@pytest.fixture
def sender() -> Iterator[Sender]:
    """A sender without open connections."""
    with Sender() as sender:
        yield sender


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A private CA."""
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA) -> str:
    """The certificate of the CA, as PEM."""
    return authority.cert_pem.bytes().decode()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """TLS for a partner with a certificate of the CA."""
    return server_context(authority.issue_cert("partner.example", "127.0.0.1", "::1"))


@pytest.fixture(params=["plain", "TLS"])
def transport(request: pytest.FixtureRequest, tls: ssl.SSLContext, bundle: str) -> Transport:
    """Clear text, then TLS."""
    return Transport(tls, bundle) if request.param == "TLS" else Transport(None, "")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    """Replaces the lookups of names."""
    names = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    return names


@pytest.fixture(scope="module")
def strict_tls(authority: trustme.CA) -> ssl.SSLContext:
    """TLS for a partner that requires a client certificate."""
    return server_context(authority.issue_cert("127.0.0.1"), clients=authority)
