"""Support reprocesses a stored message after its cause is fixed: audited, and applied only once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import String
from sqlalchemy.orm import Session

from app.db import Database
from app.inbound import queries
from app.inbound.models import Effect, InboundMessage
from app.inbound.processing import REASON_MAX, CannotReprocess, Rules, reprocess
from tests.buyer import Buyer, inbound_of, order_of, order_state, refusal, resp
from tests.fixture_types import Arrive, Confirm, DeliverWith, MoveClock

RULES = Rules(1024 * 1024, timedelta(hours=24))


def again(database: Database, response: Any, reason: str = "The order came late") -> InboundMessage:
    with database.writing() as session:
        row = queries.message_for_update(session, None, resp(response)["reqMsgId"])
        assert row
        reprocess(session, row, by="Ravi", reason=reason, rules=RULES)
        session.commit()
        return row


def test_early_edit_is_reprocessed(
    buyer: Buyer, arrive: Arrive, database: Database, session: Session, move_clock: MoveClock
) -> None:
    early = buyer.edit()
    (order_id,) = arrive(1)
    move_clock(hours=5)
    again(database, early)
    assert order_state(session, order_id) == ("CREATED", 2, "none", "none")

    row = inbound_of(session, early)
    assert (row.effect, row.first_effect, row.order_id) == (Effect.APPLIED, Effect.UNMATCHED, order_id)
    assert (row.reprocessed_by, row.reprocess_reason, row.reprocess_error) == (
        "Ravi",
        "The order came late",
        "",
    )
    assert (row.response_status, row.error_cd) == (409, "PO_UNKNOWN_OBJECT")
    assert row.response_body == early.data
    order = order_of(session, order_id)
    assert row.reprocessed_at and order.revised_at == row.reprocessed_at > row.received_at
    assert order.respond_by == row.reprocessed_at + timedelta(hours=24)
    assert order.revisions[0].inbound_id == row.id


def test_repeat_of_a_reprocessed_message_succeeds(
    buyer: Buyer, arrive: Arrive, database: Database, session: Session
) -> None:
    early = buyer.edit()
    (order_id,) = arrive(1)
    again(database, early)
    repeats = [buyer.edit(), buyer.edit()]
    assert [refusal(response) for response in repeats] == [(200, "", "")] * 2
    assert {resp(response)["reqMsgId"] for response in repeats} == {resp(early)["reqMsgId"]}
    assert len({response.data for response in repeats}) == 1
    assert order_state(session, order_id) == ("CREATED", 2, "none", "none")


def test_message_sent_again_is_not_applied_twice(
    buyer: Buyer, arrive: Arrive, database: Database, session: Session
) -> None:
    early = buyer.edit()
    (order_id,) = arrive(1)
    late = buyer.edit()
    row = again(database, early)
    assert (row.effect, row.repeat_of) == (Effect.REPEATED, resp(late)["reqMsgId"])
    assert order_state(session, order_id) == ("CREATED", 2, "none", "none")
    with pytest.raises(CannotReprocess, match="already"):
        again(database, early)


def test_failed_reprocessing_can_be_repeated(
    buyer: Buyer, arrive: Arrive, database: Database, session: Session
) -> None:
    early = buyer.edit(current=2, subject="The third")
    (order_id,) = arrive(1)
    row = again(database, early, reason="Perhaps")
    assert (row.effect, row.first_effect) == (Effect.REJECTED, Effect.UNMATCHED)
    assert row.reprocess_error and "at version 1" in row.reprocess_error
    assert order_state(session, order_id) == ("CREATED", 1, "none", "none")

    buyer.edit()
    row = again(database, early, reason="Now its version is there")
    assert (row.effect, row.first_effect) == (Effect.APPLIED, Effect.UNMATCHED)
    assert (row.reprocess_reason, row.reprocess_error) == ("Now its version is there", "")
    assert order_state(session, order_id) == ("CREATED", 3, "none", "none")


def test_early_result_and_cancellation_are_reprocessed(
    buyer: Buyer,
    arrive: Arrive,
    confirm: Confirm,
    deliver_with: DeliverWith,
    database: Database,
    session: Session,
) -> None:
    result, cancelled = buyer.send_result(result="FAILURE"), buyer.change_status()
    (order_id,) = arrive(1)
    confirm(order_id)
    deliver_with("ok")
    again(database, result)
    assert order_state(session, order_id) == ("CREATED", 1, "ACCEPT", "refused")
    again(database, cancelled)
    assert order_state(session, order_id) == ("CANCELLED", 1, "ACCEPT", "refused")


def test_applied_or_empty_message_cannot_be_reprocessed(
    buyer: Buyer, arrive: Arrive, database: Database, session: Session
) -> None:
    arrive(1)
    applied = buyer.edit()
    with pytest.raises(CannotReprocess, match="already"):
        again(database, applied)
    empty = buyer.post("req-edit", b"")
    with pytest.raises(CannotReprocess, match="no_body"):
        again(database, empty)
    assert inbound_of(session, empty).reprocessed_at is None


def test_conflict_stays_a_conflict(buyer: Buyer, order_id: int, database: Database, session: Session) -> None:
    buyer.edit()
    other = buyer.edit(subject="Something else")
    row = again(database, other)
    assert (row.effect, row.first_effect) == (Effect.CONFLICT, Effect.CONFLICT)
    assert order_of(session, order_id).subject == "Project material"


def test_invalid_message_is_rejected_again_until_the_reader_is_fixed(
    buyer: Buyer, order_id: int, database: Database, session: Session
) -> None:
    body = buyer.edit_body()
    del body["additionalInfos"]
    wrong = buyer.post("req-edit", body)
    assert refusal(wrong) == (422, "PO_FIELD_MISSING", "additionalInfos")
    assert again(database, wrong).effect is Effect.REJECTED
    assert order_state(session, order_id)[1] == 1


def test_longest_reason_fits_its_column(buyer: Buyer, arrive: Arrive, database: Database) -> None:
    early = buyer.edit()
    arrive(1)
    assert again(database, early, reason="é" * 201).reprocess_reason == "é" * 200
    column = InboundMessage.__table__.c.reprocess_reason.type
    assert isinstance(column, String) and column.length == REASON_MAX == 200
