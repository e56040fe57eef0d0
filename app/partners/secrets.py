"""The encryption of stored partner secrets: a check at start, and key rotation."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from app.partners.models import InboundSecret, Partner

ENCRYPTED = ("headers", "oauth", "signing_secrets", "bearer_token", "client_certificate")
"""The attributes of a partner that are stored encrypted."""


def check(session: Session) -> None:
    """Decrypt every stored secret. Errors: WrongKey."""
    session.scalars(select(Partner)).all()
    session.scalars(select(InboundSecret)).all()


def rotate(session: Session) -> int:
    """Encrypt all secrets again with the first key. Returns the number of partners. Errors: WrongKey."""
    partners = session.scalars(select(Partner)).all()
    for partner in partners:
        for name in ENCRYPTED:
            flag_modified(partner, name)
    for secret in session.scalars(select(InboundSecret)):
        flag_modified(secret, "secret")
    return len(partners)
