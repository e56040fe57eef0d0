"""Bringing orders in from files, through the same code as the partner's door."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from app import clock
from app.inbound.models import Effect
from app.inbound.processing import Call, Rules, receive_message
from app.network.reader import Unreadable, dumps, read_json
from app.network.vocabulary import Kind

LARGEST_ARRAY = 512 * 1024 * 1024
"""Bytes of one file that holds an array; each order in it is bounded by itself."""


@dataclass
class Brought:
    """What became of the orders of an import."""

    taken: int = 0
    repeated: int = 0
    refusals: list[str] = field(default_factory=list)


def bodies_in(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The `req-send` bodies in a file, each with its line, or with its place in an array from 1.

    A file is one object, an array of them, or one a line. What cannot be read is handed on as it is: the
    door says what is wrong with it.
    """
    if content.lstrip()[:1] == b"[":
        yield from _elements(content)
    elif _is_one_object(content):
        yield 1, content
    else:
        for number, line in enumerate(content.splitlines(), start=1):
            if line.strip():
                yield number, line


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    try:
        value = read_json(content, max_bytes=LARGEST_ARRAY)
    except Unreadable:
        yield 1, content
        return
    for number, element in enumerate(value, start=1):
        yield number, dumps(element)


def _is_one_object(content: bytes) -> bool:
    stripped = content.strip()
    if b"\n" not in stripped:
        return True
    try:
        read_json(stripped, max_bytes=LARGEST_ARRAY)
    except Unreadable:
        # Broken, but spread over lines as a person would: one object still, and one refusal.
        return stripped.split(b"\n", 1)[0].strip() in (b"{", b"")
    return True


def bring(
    session: Session,
    partner_id: int,
    body: bytes,
    *,
    place: str,
    rules: Rules,
    brought: Brought,
    received_at: datetime | None = None,
) -> None:
    """Take one body in as if the partner had sent it just now, or then, and note what became of it."""
    call = Call(Kind.REQ_SEND, f"import {place}", received_at=received_at or clock.now())
    receipt = receive_message(session, partner_id, call, body.strip(), rules)
    if receipt.effect is Effect.APPLIED:
        brought.taken += 1
    elif receipt.effect is Effect.REPEATED:
        brought.repeated += 1
    else:
        brought.refusals.append(f"{place}: {receipt.detail}")
