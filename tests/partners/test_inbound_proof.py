"""Inbound authentication: keys and signatures, and their rotation."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.inbound.models import InboundMessage
from app.network.reader import dumps
from app.network.signing import new_secret, sign
from app.orders.models import PurchaseOrder
from app.partners import keys
from app.partners import service as partner_service
from app.partners.models import InboundKey, InboundSecret, Partner
from tests.buyer import INBOUND_KEY
from tests.fixture_types import ChangePartner, MoveClock
from tests.people import Browser

pytestmark = pytest.mark.sqlite

URL = "/api/v0/purchase-order/req-send"


@pytest.fixture
def call(anonymous: Browser, example_bodies: list[dict[str, Any]]) -> Callable[..., Any]:
    """Send the first example order as a partner."""

    def call(headers: dict[str, str], body: bytes | None = None) -> Any:
        raw = dumps(example_bodies[0]) if body is None else body
        return anonymous.post(URL, data=raw, content_type="application/json", headers=headers)

    return call


@pytest.fixture
def secret(database: Database, partner: Partner) -> str:
    """A signing secret of the partner, besides its key."""
    with database.writing() as session:
        generated = keys.add_inbound_secret(session, partner)
        session.commit()
    return generated


def signed(secret: str, body: bytes, message_id: str = "their-1") -> dict[str, str]:
    return sign([secret], message_id, clock.now(), body)


def test_signed_message_needs_no_key(
    call: Any, secret: str, example_bodies: Any, session: Session, partner: Partner
) -> None:
    response = call(signed(secret, dumps(example_bodies[0])))
    assert (response.status_code, response.get_json()["response_code"]) == (200, 0)
    assert session.scalars(select(PurchaseOrder.partner_id)).one() == partner.id


def test_wrong_signature_is_rejected(call: Any, secret: str, example_bodies: Any, session: Session) -> None:
    raw = dumps(example_bodies[0])
    for headers in (signed(secret, raw + b" "), signed(new_secret(), raw)):
        response = call(headers)
        assert (response.status_code, response.get_json()["response_code"]) == (401, 1)
        assert "signature" in response.get_json()["payload"]["resp"]["errorDtl"]
    assert session.scalar(select(func.count(PurchaseOrder.id))) == 0


def test_replayed_message_is_rejected(
    call: Any, secret: str, example_bodies: Any, move_clock: MoveClock
) -> None:
    headers = signed(secret, dumps(example_bodies[0]))
    assert call(headers).status_code == 200
    move_clock(minutes=4)
    assert call(headers).status_code == 200, "a repeat within the tolerance gets the same reply"
    move_clock(minutes=2)
    assert call(headers).status_code == 401


def test_valid_key_with_wrong_signature_is_rejected(call: Any, secret: str, example_bodies: Any) -> None:
    headers = {"X-Partner-Key": INBOUND_KEY}
    wrong = signed(new_secret(), dumps(example_bodies[0]))
    assert call({**headers, **wrong}).status_code == 401
    assert call({**headers, **signed(secret, dumps(example_bodies[0]))}).status_code == 200


def test_signature_headers_are_ignored_without_a_secret(
    call: Any, partner: Partner, example_bodies: Any
) -> None:
    wrong = signed(new_secret(), dumps(example_bodies[0]))
    assert call({"X-Partner-Key": INBOUND_KEY, **wrong}).status_code == 200


def test_key_alone_is_rejected_where_a_signature_is_required(
    call: Any, secret: str, change_partner: ChangePartner, example_bodies: Any, anonymous: Browser
) -> None:
    change_partner(signature_required=True)
    key, signature = {"X-Partner-Key": INBOUND_KEY}, signed(secret, dumps(example_bodies[0]))
    assert call(key).status_code == 401
    assert anonymous.get("/api/v0/ping", headers=key).status_code == 401
    assert call(signature).status_code == 200
    assert call({**key, **signature}).status_code == 200


def test_signature_required_without_a_secret_rejects_everything(
    call: Any, change_partner: ChangePartner, example_bodies: Any
) -> None:
    change_partner(signature_required=True)
    key, signature = {"X-Partner-Key": INBOUND_KEY}, signed(new_secret(), dumps(example_bodies[0]))
    assert call(key).status_code == 401
    assert call({**key, **signature}).status_code == 401


def test_old_secret_is_valid_during_the_grace_period_only(
    call: Any, secret: str, database: Database, partner: Partner, example_bodies: Any, move_clock: MoveClock
) -> None:
    with database.writing() as session:
        new = keys.add_inbound_secret(session, partner, grace=timedelta(hours=24))
        session.commit()
    raw = dumps(example_bodies[0])
    assert call(signed(secret, raw)).status_code == 200
    assert call(signed(new, raw)).status_code == 200
    move_clock(hours=25)
    assert call(signed(secret, raw)).status_code == 401
    assert call(signed(new, raw)).status_code == 200


def test_signature_identifies_its_partner(
    call: Any, secret: str, database: Database, partner: Partner, example_bodies: Any, session: Session
) -> None:
    with database.writing() as writing:
        other, other_key = partner_service.add(writing, "Other network", base_url="https://other.example")
        other_secret = keys.add_inbound_secret(writing, other)
        writing.commit()
    raw = dumps(example_bodies[0])
    assert call({"X-Partner-Key": other_key, **signed(secret, raw)}).status_code == 401
    assert call(signed(other_secret, raw)).status_code == 200
    assert session.scalars(select(PurchaseOrder.partner_id)).one() == other.id


def test_old_key_is_valid_during_the_grace_period_only(
    call: Any, database: Database, partner: Partner, move_clock: MoveClock
) -> None:
    with database.writing() as session:
        new = keys.add_key(session, partner, grace=timedelta(hours=1))
        session.commit()
    assert call({"X-Partner-Key": INBOUND_KEY}).status_code == 200
    move_clock(minutes=61)
    assert call({"X-Partner-Key": INBOUND_KEY}).status_code == 401
    assert call({"X-Partner-Key": new}).status_code == 200


def test_revoked_key_is_rejected(call: Any, database: Database, partner: Partner, session: Session) -> None:
    (key_id,) = session.scalars(select(InboundKey.id))
    with database.writing() as writing:
        assert keys.revoke_key(writing, partner, key_id)
        assert not keys.revoke_key(writing, partner, key_id)
        writing.commit()
    assert call({"X-Partner-Key": INBOUND_KEY}).status_code == 401


def test_revoked_secret_is_deleted(
    call: Any, secret: str, database: Database, partner: Partner, example_bodies: Any, session: Session
) -> None:
    (secret_id,) = session.scalars(select(InboundSecret.id))
    with database.writing() as writing:
        assert keys.revoke_inbound_secret(writing, partner, secret_id)
        writing.commit()
    assert call(signed(secret, dumps(example_bodies[0]))).status_code == 401
    session.rollback()
    assert not session.scalars(select(InboundSecret)).all()


def test_secrets_are_limited_and_unique(database: Database, partner: Partner) -> None:
    with database.writing() as session:
        row = session.get_one(Partner, partner.id)
        for _ in range(keys.ACTIVE_MAX):
            secret = keys.add_inbound_secret(session, row)
            keys.add_signing_secret(session, row)
        for add in (keys.add_inbound_secret, keys.add_signing_secret):
            with pytest.raises(keys.BadPartner, match="revoke one first"):
                add(session, row)
        with pytest.raises(keys.BadPartner, match="in use"):
            keys.add_inbound_secret(session, row, secret)
        with pytest.raises(keys.BadPartner, match="base64") as refused:
            keys.add_signing_secret(session, row, "whsec_nonsense")
        assert "nonsense" not in str(refused.value)
        # After the old secret is revoked, a new one can be added.
        keys.add_signing_secret(session, row, grace=timedelta(0))
        assert len(row.signing_secrets) == 1


def test_too_large_body_is_rejected_before_verification(call: Any, secret: str) -> None:
    body = b" " * (1024 * 1024 + 1)
    assert call(signed(secret, body), body).status_code in (401, 413)


def test_ping_checks_credentials_and_records_nothing(
    anonymous: Browser, secret: str, session: Session
) -> None:
    good = anonymous.get("/api/v0/ping", headers={"X-Partner-Key": INBOUND_KEY})
    assert (good.status_code, json.loads(good.data)["payload"]["partner"]) == (200, "Bharat Connect")
    assert anonymous.get("/api/v0/ping", headers=signed(secret, b"")).status_code == 200
    assert anonymous.get("/api/v0/ping").status_code == 401
    assert anonymous.get("/api/v0/ping", headers=signed(secret, b"x")).status_code == 401
    assert session.scalar(select(func.count()).select_from(InboundMessage)) == 0
