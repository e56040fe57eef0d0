"""Partners on real sockets: one that accepts everything, one that issues tokens, one with TLS."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

import pytest
import trustme
from sqlalchemy.orm import Session

from app.db import Database
from app.delivery.oauth import tokens
from app.partners import keys
from app.partners.models import Partner
from tests.delivery import misbehaving
from tests.delivery.misbehaving import Script
from tests.partners.credentials import pem_of


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


@pytest.fixture
def row(session: Session, partner: Partner) -> Callable[[], Partner]:
    """The partner's row as it is now."""

    def row() -> Partner:
        session.rollback()
        saved = session.get(Partner, partner.id, populate_existing=True)
        assert saved
        return saved

    return row


@pytest.fixture
def secrets(database: Database, partner: Partner, authority: trustme.CA) -> list[str]:
    """One secret of each kind in the partner's row; pages must never show them."""
    with database.writing() as session:
        row = session.get_one(Partner, partner.id)
        row.oauth = {
            "token_url": "http://127.0.0.1:9/token",
            "client_id": "po",
            "client_secret": "client-secret-of-ours",
            "scope": "",
            "in_body": False,
        }
        row.client_certificate = pem_of(authority.issue_cert("po-confirm.example"))
        generated = [
            keys.add_key(session, row),
            keys.add_inbound_secret(session, row),
            keys.add_signing_secret(session, row),
        ]
        session.commit()
        return [
            "a-secret-of-ours",
            "client-secret-of-ours",
            row.client_certificate.splitlines()[-3],
            *generated,
            *(secret.removeprefix("whsec_") for secret in generated),
        ]
