"""What the partner keeps over a restart: a file that it writes when it stops and reads when it starts.

A real partner does not forget what it received either: links to it go on leading there, and the same answer
again is known again. One record a line, so that one which cannot be read costs no other. The first line says
of which database it is: where the demo begins anew, so does its partner.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Collection, Iterator
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from app.demo.state import (
    AnswerTaken,
    Exchange,
    Identity,
    Memory,
    Remembered,
    Sent,
)
from app.network.reader import Unreadable, dumps, read_json
from app.network.vocabulary import Kind, Result

log = logging.getLogger(__name__)

NEWEST = 500
"""So many of each are kept: a stop leaves two seconds to write them."""


def keep(memory: Memory, path: Path, of: str) -> None:
    """Write what the memory holds; ``of`` names the database that it belongs to."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    with part.open("wb") as file:
        for record in _records(memory.remembered(), of):
            file.write(dumps(record) + b"\n")
    part.replace(path)


def recall(memory: Memory, path: Path, of: str) -> None:
    """Let the memory hold what was kept of this database; nothing where there is nothing."""
    if not path.is_file():
        return
    head, *lines = path.read_bytes().split(b"\n")
    if head != dumps({"of": of}):
        return
    found = Remembered()
    for line in filter(None, lines):
        try:
            _take_up(found, _read(line))
        except (KeyError, TypeError, ValueError) as error:
            log.warning("a line of %s cannot be read: %s", path.name, error)
    memory.recall(found)


def _records(held: Remembered, of: str) -> Iterator[dict[str, Any]]:
    yield {"of": of}
    for exchange in held.exchanges[-NEWEST:]:
        told = audit_fields(exchange, but=("raw", "body"), received_at=exchange.received_at.isoformat())
        raw = base64.b64encode(exchange.raw).decode()
        yield {"exchange": told, "raw": raw, "was_read": exchange.body is not None}
    for name, answers in (("taken", held.taken), ("last", held.last)):
        for answer in answers[-NEWEST:]:
            yield {name: audit_fields(answer, identity=audit_fields(answer.identity))}
    for key, identity in held.keys[-NEWEST:]:
        yield {"key": key, "identity": audit_fields(identity)}
    for identity, req_msg_id in held.req_msg_ids[-NEWEST:]:
        yield {"req_msg_id": req_msg_id, "identity": audit_fields(identity)}
    for sent in held.sent[-NEWEST:]:
        yield {"sent": audit_fields(sent, sent_at=sent.sent_at.isoformat())}


def audit_fields(value: Any, *, but: Collection[str] = (), **otherwise: Any) -> dict[str, Any]:
    """A value's fields, some of them told otherwise. Nothing is copied: bodies are large."""
    names = [one.name for one in fields(value) if one.name not in but]
    return {name: otherwise[name] if name in otherwise else getattr(value, name) for name in names}


def _take_up(found: Remembered, record: dict[str, Any]) -> None:
    if "exchange" in record:
        told, raw = record["exchange"], base64.b64decode(record["raw"])
        told["received_at"] = datetime.fromisoformat(told["received_at"])
        body = read_json(raw) if record["was_read"] else None
        found.exchanges.append(Exchange(**told, raw=raw, body=body))
    elif "taken" in record:
        found.taken.append(_answer(record["taken"]))
    elif "last" in record:
        found.last.append(_answer(record["last"]))
    elif "key" in record:
        found.keys.append((record["key"], Identity(**record["identity"])))
    elif "req_msg_id" in record:
        found.req_msg_ids.append((Identity(**record["identity"]), record["req_msg_id"]))
    else:
        told = record["sent"]
        told |= {"kind": Kind(told["kind"]), "sent_at": datetime.fromisoformat(told["sent_at"])}
        found.sent.append(Sent(**told))


def _answer(told: dict[str, Any]) -> AnswerTaken:
    result = told.pop("result")
    return AnswerTaken(
        **{**told, "identity": Identity(**told["identity"])},
        result=None if result is None else Result(result),
    )


def _read(line: bytes) -> dict[str, Any]:
    try:
        record = read_json(line, max_bytes=len(line))
    except Unreadable as unreadable:
        raise ValueError(unreadable.detail) from None
    if not isinstance(record, dict):
        raise TypeError("it is no object")
    return record
