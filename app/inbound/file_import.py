"""Import of orders from files, through the same code as the partner API."""

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

ARRAY_MAX = 512 * 1024 * 1024
"""Bytes of a file that holds a JSON array; each order in it has its own, smaller limit."""


@dataclass
class ImportResult:
    """The result of an import: the number of new and repeated orders, and the errors of the others."""

    imported: int = 0
    repeated: int = 0
    errors: list[str] = field(default_factory=list)


def split_bodies(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The `req-send` bodies in a file, each with its line number, or its position in an array from 1.

    A file holds one object, an array of objects, or one object per line. Unreadable parts are passed on
    unchanged, so that the import reports what is wrong with them.
    """
    if content.lstrip()[:1] == b"[":
        yield from _elements(content)
    elif _is_one_object(content):
        yield 1, content
    else:
        for number, line in enumerate(content.splitlines(), start=1):
            if line.strip():
                yield number, line


def import_body(
    session: Session,
    partner_id: int,
    body: bytes,
    *,
    location: str,
    rules: Rules,
    result: ImportResult,
    received_at: datetime | None = None,
) -> None:
    """Process one body as if the partner had sent it, now or at ``received_at``, and count it in ``result``.

    ``location`` says where in the file it is.
    """
    call = Call(Kind.REQ_SEND, f"import {location}", received_at=received_at or clock.now())
    message = receive_message(session, partner_id, call, body.strip(), rules)
    if message.effect is Effect.APPLIED:
        result.imported += 1
    elif message.effect is Effect.REPEATED:
        result.repeated += 1
    else:
        result.errors.append(f"{location}: {message.detail}")


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    try:
        values = read_json(content, max_bytes=ARRAY_MAX)
    except Unreadable:
        yield 1, content
        return
    for number, value in enumerate(values, start=1):
        yield number, dumps(value)


def _is_one_object(content: bytes) -> bool:
    stripped = content.strip()
    if b"\n" not in stripped:
        return True
    try:
        read_json(stripped, max_bytes=ARRAY_MAX)
    except Unreadable:
        # A malformed object that is spread over several lines is still one object with one error.
        return stripped.split(b"\n", 1)[0].strip() in (b"{", b"")
    return True
