"""Fixtures for the tests of exports: many rows, low limits and a task worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert

from app import clock
from app.config import Settings
from app.db import Database, new_id
from app.delivery.models import Message, MessageNote, MessageState, Trigger
from app.partners.models import Partner


@pytest.fixture
def many_messages(database: Database, partner: Partner) -> Callable[[int], list[str]]:
    """Add delivered messages; returns their ids, newest first."""

    def many_messages(count: int) -> list[str]:
        start = clock.now() - timedelta(days=1)
        rows = [_message(partner.id, number, start) for number in range(count)]
        with database.writing() as session:
            session.execute(insert(Message), rows)
            session.commit()
        return [row["id"] for row in reversed(rows)]

    return many_messages


def _message(partner_id: int, number: int, start: Any) -> dict[str, Any]:
    at = start + timedelta(seconds=number)
    return {
        "id": new_id("msg", at),
        "kind": "req-confirm",
        "partner_id": partner_id,
        "decision_number": 1,
        "object_id": f"POR{number}",
        "buyer_po_number": f"PO/{number}",
        "buyer_b2b_id": "B@bbps",
        "supplier_b2b_id": "S@bbps",
        "object_version": 1,
        "body": b"{}",
        "body_sha256": "0" * 64,
        "created_at": at,
        "created_by": "Asha",
        "state": MessageState.DELIVERED,
        "trigger": Trigger.AUTO,
        "finished_at": at,
        "note_code": MessageNote.TEXT,
        "note_params": {"text": "Accepted. " * 16},
        "cancel_params": {},
        "claims": 1,
        "interruptions": 0,
        "automatic_attempts": 1,
        "attempts_made": 1,
        "unknown_outcome": False,
        "reason": "delivered",
        "response_message": "Success",
        "result": "",
        "req_msg_id": "",
        "error_cd": "",
        "error_dtl": "",
        "error_field": "",
    }


@pytest.fixture
def set_rows_at_once(app: Flask, settings: Settings) -> Callable[[int], None]:
    """Set the number of rows above which a job writes the file."""

    def set_rows_at_once(rows: int) -> None:
        app.extensions["settings"] = settings.model_copy(update={"export_rows_at_once": rows})

    return set_rows_at_once


@pytest.fixture(autouse=True)
def no_slow_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a slow machine from turning a small export into a job."""
    monkeypatch.setattr("app.exports.routes.SECONDS_MAX", 600.0)
