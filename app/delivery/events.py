"""Message events: other packages update their own rows in the transaction that changes a message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.delivery.models import MessageState


@dataclass(frozen=True, slots=True)
class MessageChange:
    """A message was created, or its state changed.

    ``previous_state`` is set only by a late result, which may undo a delivery.
    """

    message_id: str
    order_id: int | None
    state: MessageState
    previous_state: MessageState | None = None
    is_new: bool = False


Handler = Callable[[Session, Sequence[MessageChange]], None]


class NotConnected(RuntimeError):
    """A message changed before any handlers were connected, so an order would silently show an old state."""


class MessageEvents:
    """Calls the connected handlers, in their order."""

    def __init__(self) -> None:
        self._handlers: tuple[Handler, ...] | None = None

    def connect(self, *handlers: Handler) -> None:
        """Set the handlers of this process; a second call replaces them."""
        self._handlers = handlers

    def publish(self, session: Session, changes: Sequence[MessageChange]) -> None:
        """Tell the handlers. Errors: NotConnected."""
        if not changes:
            return
        if self._handlers is None:
            raise NotConnected("call message_events.connect() first, as app.create_app does")
        for handler in self._handlers:
            handler(session, changes)


message_events = MessageEvents()
"""The events of this process. ``create_app`` connects the handlers."""
