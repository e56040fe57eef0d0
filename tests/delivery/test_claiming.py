"""Claiming: which messages a worker may lease now, and when it checks again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.delivery import service as delivery_service
from app.delivery.circuit_breaker import BreakerState, Limits
from app.delivery.claiming import (
    FULL_RETRY,
    LEASE_MARGIN_SECONDS,
    LOCKED_RETRY,
    ClaimResult,
    _candidate,
    _share,
    claim,
)
from app.delivery.models import Attempt, CircuitBreaker, Message, MessageState, Trigger
from app.delivery.retry_policy import DEFAULT_SCHEDULE
from app.network.signing import new_secret, verify
from app.partners import service as partner_service
from app.partners.models import Partner
from tests.fixture_types import Arrive, ChangePartner, Confirm, ConfirmOrders, Resend

SECRET = new_secret()
DEADLINE = timedelta(seconds=1.0 + LEASE_MARGIN_SECONDS)
"""How long a lease of the test partner lasts."""


def claim_now(database: Database, limit: int = 8, **options: Any) -> ClaimResult:
    with database.writing() as session:
        result = claim(session, limit, clock.now(), **options)
        session.commit()
    return result


def set_breaker(database: Database, partner: Partner, **values: Any) -> None:
    with database.writing() as session:
        session.merge(CircuitBreaker(partner_id=partner.id, failures=7, probes=0, allowance=0, **values))
        session.commit()


def probe_at(session: Session, partner: Partner) -> Any:
    session.rollback()
    return session.scalar(select(CircuitBreaker.probe_at).where(CircuitBreaker.partner_id == partner.id))


def test_claimed_probe_holds_all_others_until_its_lease_ends(
    confirm_orders: ConfirmOrders, database: Database, session: Session, partner: Partner
) -> None:
    confirm_orders(3)
    now = clock.now()
    set_breaker(database, partner, opened_at=now, probe_at=now)
    first = claim_now(database)
    assert [message.is_probe for message in first.messages] == [True]
    reserved = probe_at(session, partner)
    assert reserved - DEADLINE >= now
    second = claim_now(database)
    assert (second.messages, second.check_again_at) == ([], reserved)


# SQLite has one writer, so no row is ever locked by another.
@pytest.mark.postgresql
def test_probe_slot_is_not_reserved_without_a_message(
    arrive: Arrive, confirm: Confirm, database: Database, session: Session, partner: Partner
) -> None:
    confirm(arrive(1)[0])
    now = clock.now()
    set_breaker(database, partner, opened_at=now, probe_at=now)
    with database.writing() as other:
        other.execute(select(Message.id).with_for_update())
        result = claim_now(database)
    assert not result.messages
    assert probe_at(session, partner) == now


# SQLite has one writer, so no row is ever locked by another.
@pytest.mark.postgresql
def test_partner_whose_breaker_is_locked_is_skipped(
    arrive: Arrive, confirm: Confirm, database: Database, partner: Partner
) -> None:
    confirm(arrive(1)[0])
    now = clock.now()
    set_breaker(database, partner)
    with database.writing() as other:
        other.execute(select(CircuitBreaker).with_for_update())
        with database.writing() as session:
            session.execute(text("SET LOCAL lock_timeout = '2s'"))
            result = claim(session, 8, now)
            session.rollback()
    assert (result.messages, result.check_again_at) == ([], now + LOCKED_RETRY)


@pytest.mark.parametrize(
    ("senders", "partners", "share"),
    [(1, 1, 1), (8, 1, 8), (1, 2, 1), (2, 2, 1), (4, 2, 3), (7, 2, 6), (8, 2, 6), (8, 9, 6)],
)
def test_share_leaves_a_sender_free_only_for_other_partners(senders: int, partners: int, share: int) -> None:
    assert _share(senders, partners) == share


def test_single_sender_serves_several_partners(
    confirm_orders: ConfirmOrders, database: Database, partner: Partner
) -> None:
    with database.writing() as session:
        partner_service.add(session, "Other network", base_url="https://other.example")
        session.commit()
    confirm_orders(2)
    assert len(claim_now(database, 1).messages) == 1


def test_messages_in_flight_count_toward_the_share(
    confirm_orders: ConfirmOrders, database: Database, partner: Partner, change_partner: ChangePartner
) -> None:
    with database.writing() as session:
        partner_service.add(session, "Other network", base_url="https://other.example")
        session.commit()
    change_partner(concurrency=8)
    confirm_orders(6)
    # Of eight senders one partner may occupy six.
    assert len(claim_now(database, 4, in_flight={partner.id: 4}).messages) == 2
    assert len(claim_now(database, 2, in_flight={partner.id: 6}).messages) == 0


def test_only_partner_may_use_all_senders(
    confirm_orders: ConfirmOrders, database: Database, change_partner: ChangePartner
) -> None:
    change_partner(concurrency=8)
    confirm_orders(4)
    assert len(claim_now(database, 4).messages) == 4


def test_partner_at_its_concurrency_limit_is_checked_again_soon(
    confirm_orders: ConfirmOrders, database: Database, change_partner: ChangePartner
) -> None:
    change_partner(concurrency=1)
    confirm_orders(2)
    assert len(claim_now(database).messages) == 1
    now = clock.now()
    with database.writing() as session:
        assert claim(session, 8, now) == ClaimResult([], now + FULL_RETRY)
        session.rollback()


def test_future_message_is_checked_when_it_is_due(
    confirm_orders: ConfirmOrders, database: Database, partner: Partner
) -> None:
    first, second = confirm_orders(2)
    now = clock.now()
    with database.writing() as session:
        for message_id, minutes in ((first, 20), (second, 10)):
            session.get_one(Message, message_id).next_at = now + timedelta(minutes=minutes)
        session.commit()
    assert claim_now(database) == ClaimResult([], now + timedelta(minutes=10))


def test_paused_partner_gets_nothing_and_is_not_checked_again(
    arrive: Arrive, confirm: Confirm, database: Database, change_partner: ChangePartner
) -> None:
    confirm(arrive(1)[0])
    change_partner(paused_at=clock.now())
    assert claim_now(database) == ClaimResult([], None)


def test_paused_partner_gets_manually_requested_messages(
    confirm_orders: ConfirmOrders, database: Database, change_partner: ChangePartner
) -> None:
    _, requested = confirm_orders(2)
    now = clock.now()
    change_partner(paused_at=now)
    with database.writing() as writing:
        message = writing.get_one(Message, requested)
        delivery_service.resend(writing, message, by="Ravi", reason="asked")
        message.next_at = now + timedelta(minutes=5)
        writing.commit()
    assert claim_now(database) == ClaimResult([], now + timedelta(minutes=5))
    with database.writing() as writing:
        writing.get_one(Message, requested).next_at = now
        writing.commit()
    assert [message.id for message in claim_now(database).messages] == [requested]


def test_open_breaker_is_checked_at_the_probe_or_an_earlier_request(
    confirm_orders: ConfirmOrders, database: Database, partner: Partner
) -> None:
    _, requested = confirm_orders(2)
    now = clock.now()
    set_breaker(database, partner, opened_at=now, probe_at=now + timedelta(minutes=5))
    assert claim_now(database) == ClaimResult([], now + timedelta(minutes=5))
    with database.writing() as writing:
        message = writing.get_one(Message, requested)
        delivery_service.resend(writing, message, by="Ravi", reason="asked")
        message.next_at = now + timedelta(minutes=2)
        writing.commit()
    assert claim_now(database) == ClaimResult([], now + timedelta(minutes=2))


def copy_to_other_partner(session: Session, message_id: str, **changes: Any) -> int:
    """Queue a copy of the message for another partner, and return that partner's id."""
    other, _ = partner_service.add(session, "Other network", base_url="https://other.example")
    template = session.get_one(Message, message_id)
    values = {
        column.key: getattr(template, column.key)
        for column in Message.__table__.columns
        if hasattr(template, column.key)
    }
    copied = {"id": "msg_other", "order_id": None, "partner_id": other.id, **changes}
    session.add(Message(**{**values, **copied}))
    session.flush()
    return other.id


def test_earliest_time_of_several_partners_counts(
    message_id: str, database: Database, partner: Partner
) -> None:
    now = clock.now()
    with database.writing() as session:
        copy_to_other_partner(session, message_id, next_at=now + timedelta(minutes=3))
        session.get_one(Message, message_id).next_at = now + timedelta(minutes=7)
        session.commit()
    assert claim_now(database) == ClaimResult([], now + timedelta(minutes=3))


@pytest.mark.sqlite
def test_next_time_of_a_partner_that_is_not_due_survives_a_claim(
    message_id: str, database: Database, partner: Partner
) -> None:
    soon = clock.now() + timedelta(seconds=5)
    with database.writing() as session:
        copy_to_other_partner(session, message_id, next_at=soon)
        session.commit()
    with database.writing() as session:
        result = claim(session, 8, soon - FULL_RETRY / 2)
        session.rollback()
    assert [message.id for message in result.messages] == [message_id]
    assert result.check_again_at == soon


@pytest.mark.sqlite
def test_partner_with_the_fewest_messages_in_flight_comes_first(
    confirm_orders: ConfirmOrders, database: Database, partner: Partner
) -> None:
    first, _, last = confirm_orders(3)
    with database.writing() as session:
        other = copy_to_other_partner(session, last)
        session.commit()
    claimed = [claim_now(database, 1).messages[0] for _ in range(3)]
    assert [message.partner_id for message in claimed] == [partner.id, other, partner.id]
    assert claimed[0].id == first


@pytest.mark.sqlite
def test_claimed_message_has_all_settings_of_its_partner(
    order_id: int,
    message_id: str,
    database: Database,
    session: Session,
    partner: Partner,
    change_partner: ChangePartner,
) -> None:
    now = clock.now()
    change_partner(
        retry_schedule=[1, 2],
        success_codes=[0, 7],
        concurrency=3,
        rate_per_minute=120,
        credential_failures=1,
        signing_secrets=[{"id": "1", "secret": SECRET, "created_at": now.isoformat(), "valid_until": None}],
    )
    set_breaker(database, partner)
    with database.writing() as writing:
        message = writing.get_one(Message, message_id)
        message.automatic_attempts, message.attempts_made, message.claims, message.unknown_outcome = (
            2,
            4,
            5,
            True,
        )
        message.request_id = "req-9"
        message.trigger, message.requested_by, message.request_reason = Trigger.MANUAL, "Ravi", "asked"
        writing.commit()
    with database.writing() as writing:
        (claimed,) = claim(writing, 8, now, lease_margin=2.0).messages
        writing.commit()
    assert (claimed.id, claimed.order_id, claimed.partner_id) == (message_id, order_id, partner.id)
    stored = session.get_one(Message, message_id)
    assert (claimed.object_id, claimed.body) == (stored.object_id, stored.body)
    assert (claimed.number, claimed.automatic_attempts, claimed.after_unknown) == (5, 2, True)
    assert (claimed.trigger, claimed.requested_by, claimed.request_reason) == (
        Trigger.MANUAL,
        "Ravi",
        "asked",
    )
    assert (claimed.request_id, claimed.schedule, claimed.success_codes) == ("req-9", (1, 2), (0, 7))
    assert claimed.limits == Limits(3, 2.0)
    assert (claimed.is_probe, claimed.is_suspect, claimed.had_credential_failures) == (False, True, True)
    assert claimed.target.url == f"{partner.base_url}/api/v0/purchase-order/req-confirm"
    assert claimed.target.headers == (("X-Api-Key", "a-secret-of-ours"),)
    assert claimed.headers["Content-Type"] == "application/json"
    assert claimed.headers["Idempotency-Key"] == message_id
    assert claimed.headers["User-Agent"].startswith("po-confirm")
    assert claimed.headers["webhook-id"] == message_id
    assert verify([SECRET], claimed.headers, claimed.body, now)

    assert (stored.state, stored.claims, stored.attempts_made) == (MessageState.SENDING, 6, 5)
    assert (stored.lease_token, stored.lease_until) == (claimed.token, now + timedelta(seconds=1.0 + 2.0))
    assert len(claimed.token) == 16
    attempt = session.scalars(select(Attempt)).one()
    assert (attempt.message_id, attempt.number, attempt.started_at) == (message_id, 5, now)
    assert (attempt.trigger, attempt.actor, attempt.request_reason) == (Trigger.MANUAL, "Ravi", "asked")
    assert (attempt.request_id, attempt.url) == ("req-9", claimed.target.url)
    headers = dict(attempt.request_headers)
    assert headers.pop("X-Api-Key") not in ("", "a-secret-of-ours")
    assert headers == claimed.headers


@pytest.mark.sqlite
def test_partner_without_settings_gets_the_defaults(
    arrive: Arrive, confirm: Confirm, database: Database, partner: Partner
) -> None:
    confirm(arrive(1)[0])
    (claimed,) = claim_now(database).messages
    assert claimed.schedule == DEFAULT_SCHEDULE
    assert claimed.limits == Limits(4, None)
    assert (claimed.is_suspect, claimed.had_credential_failures) == (False, False)


@pytest.mark.sqlite
def test_oldest_due_messages_are_claimed_first(
    confirm_orders: ConfirmOrders, database: Database, partner: Partner
) -> None:
    ids = confirm_orders(4)
    now = clock.now()
    with database.writing() as session:
        for minutes, message_id in enumerate(reversed(ids), 1):
            session.get_one(Message, message_id).next_at = now - timedelta(minutes=10 - minutes)
        session.commit()
    assert [message.id for message in claim_now(database, 3).messages] == [ids[3], ids[2], ids[1]]


@pytest.mark.sqlite
def test_manual_probe_does_not_reserve_the_slot(
    confirm_orders: ConfirmOrders, database: Database, session: Session, partner: Partner, resend: Resend
) -> None:
    _, requested = confirm_orders(2)
    now = clock.now()
    set_breaker(database, partner, opened_at=now, probe_at=now)
    resend(requested)
    (claimed,) = claim_now(database).messages
    assert (claimed.id, claimed.is_probe) == (requested, False)
    assert probe_at(session, partner) == now


# --- What a partner may be sent now, without a database

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOON, LATER = NOON + timedelta(minutes=1), NOON + timedelta(minutes=5)


def pending(**values: Any) -> Any:
    state = {name: getattr(BreakerState(), name) for name in BreakerState.__dataclass_fields__}
    defaults = {"paused_at": None, "first_due": NOON, "first_requested": None, "sending": 2}
    return SimpleNamespace(**{**state, **defaults, **values})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (pending(), (False, None)),
        (pending(first_due=SOON), (False, SOON)),
        (pending(first_due=SOON, first_requested=SOON), (False, SOON)),
        (pending(paused_at=NOON), None),
        (pending(paused_at=NOON, first_requested=NOON), (True, None)),
        (pending(paused_at=NOON, first_requested=SOON), (False, SOON)),
        (pending(opened_at=NOON), (False, None)),
        (pending(opened_at=NOON, probe_at=NOON), (False, None)),
        (pending(opened_at=NOON, probe_at=LATER), (False, LATER)),
        (pending(opened_at=NOON, probe_at=SOON, first_due=LATER), (False, LATER)),
        (pending(opened_at=NOON, probe_at=LATER, first_requested=NOON), (True, None)),
        (pending(opened_at=NOON, probe_at=LATER, first_requested=SOON), (False, SOON)),
        (pending(probe_at=LATER), (False, None)),
    ],
)
def test_request_is_due_or_has_a_time_to_check_again(row: Any, expected: Any) -> None:
    request = _candidate(row, NOON)
    assert (request and (request.requested_only, request.check_again_at)) == expected
    if request:
        assert (request.partner, request.sending, request.is_probe) == (row, 2, False)
        opened = BreakerState(opened_at=NOON, width=1, failures=3)
        bypassed = BreakerState(failures=3) if request.requested_only else opened
        assert request.effective_state(opened) == bypassed
