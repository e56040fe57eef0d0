"""Partners on real sockets: one that accepts everything, one that issues tokens, one with TLS."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
from sqlalchemy.orm import Session

from app.db import Database
from app.delivery.oauth import tokens
from app.partners.models import Partner
from tests.delivery import misbehaving
from tests.delivery.misbehaving import Connection, Script, response


@pytest.fixture(autouse=True)
def no_tokens() -> Iterator[None]:
    """Start each test with an empty token cache."""
    yield
    tokens.__init__()  # type: ignore[misc]


@pytest.fixture
def serve() -> Iterator[Callable[..., misbehaving.FakePartner]]:
    """Starts servers that follow scripts, and stops them."""
    running: list[misbehaving.FakePartner] = []

    def serve(*scripts: Script, tls: ssl.SSLContext | None = None) -> misbehaving.FakePartner:
        running.append(misbehaving.FakePartner(*scripts, tls=tls))
        return running[-1]

    yield serve
    for server in running:
        server.__exit__()


@pytest.fixture
def accepting_partner(serve: Callable[..., misbehaving.FakePartner]) -> misbehaving.FakePartner:
    """Accepts every message."""
    return serve(misbehaving.behaves)


@pytest.fixture
def authority() -> trustme.CA:
    """A private CA."""
    return trustme.CA()


def pem_of(certificate: trustme.LeafCert) -> str:
    """Return certificate, chain and key as one text."""
    parts = [*certificate.cert_chain_pems, certificate.private_key_pem]
    return "".join(part.bytes().decode() for part in parts)


def server_context(certificate: trustme.LeafCert, *, clients: trustme.CA | None = None) -> ssl.SSLContext:
    """TLS for a server; with ``clients`` it wants a certificate by that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


@pytest.fixture
def change(database: Database, partner: Partner) -> Callable[..., None]:
    """Give the partner's row these values."""

    def change(**values: Any) -> None:
        with database.writing() as session:
            row = session.get_one(Partner, partner.id)
            for name, value in values.items():
                setattr(row, name, value)
            session.commit()

    return change


@pytest.fixture
def row(session: Session, partner: Partner) -> Callable[[], Partner]:
    """The partner's row as it is now."""

    def row() -> Partner:
        session.rollback()
        saved = session.get(Partner, partner.id, populate_existing=True)
        assert saved
        return saved

    return row


def gives_tokens(*responses: bytes) -> Script:
    """Respond to each token request with the next of these, then always with the last."""
    remaining = iter(responses)
    last = responses[-1]

    def script(connection: Connection) -> None:
        while True:
            connection.receive()
            connection.send(next(remaining, last))

    return script


def token(text: str, **more: Any) -> bytes:
    """A response of a token endpoint."""
    body = {"access_token": text, "token_type": "Bearer", **more}
    return response(json.dumps(body).encode(), "Content-Type: application/json")
