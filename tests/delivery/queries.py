"""Helpers that read the current messages from the database."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from app.delivery.models import Message


def message_of(session: Session, message_id: str) -> Message:
    """One message with its attempts."""
    return next(message for message in all_messages(session) if message.id == message_id)


def all_messages(session: Session) -> Sequence[Message]:
    """Every message with its attempts, oldest first."""
    session.rollback()
    return session.scalars(
        select(Message)
        .options(joinedload(Message.partner), selectinload(Message.attempts))
        .order_by(Message.id)
        .execution_options(populate_existing=True)
    ).all()
