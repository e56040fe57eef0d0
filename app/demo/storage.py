"""Saves the simulator's state to a file when it stops, and loads it when it starts.

Links to received messages keep working, and repeats are recognized. One record per line, so an unreadable
line does not affect others. The first line names the database: with a new database the state starts empty.
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
    AcceptedResponse,
    Exchange,
    Identity,
    SavedState,
    Sent,
    SimulatorState,
)
from app.network.reader import Unreadable, dumps, read_json
from app.network.vocabulary import Kind, Result

log = logging.getLogger(__name__)

NEWEST = 500
"""The maximum number of saved records of each kind, since a stop must not take longer than two seconds."""


def save(state: SimulatorState, path: Path, of: str) -> None:
    """Write the state to a file; ``of`` names the database that it belongs to."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    with part.open("wb") as file:
        for record in _records(state.saved_state(), of):
            file.write(dumps(record) + b"\n")
    part.replace(path)


def load(state: SimulatorState, path: Path, of: str) -> None:
    """Load the state from a file, if the file exists and belongs to this database."""
    if not path.is_file():
        return
    head, *lines = path.read_bytes().split(b"\n")
    if head != dumps({"of": of}):
        return
    saved = SavedState()
    for line in filter(None, lines):
        try:
            _add_record(saved, _read(line))
        except (KeyError, TypeError, ValueError) as error:
            log.warning("a line of %s cannot be read: %s", path.name, error)
    state.restore(saved)


def _records(state: SavedState, of: str) -> Iterator[dict[str, Any]]:
    yield {"of": of}
    for exchange in state.exchanges[-NEWEST:]:
        record_fields = _as_record(
            exchange, omit=("raw", "body"), received_at=exchange.received_at.isoformat()
        )
        raw = base64.b64encode(exchange.raw).decode()
        yield {"exchange": record_fields, "raw": raw, "was_read": exchange.body is not None}
    for name, responses in (("taken", state.accepted), ("last", state.last)):
        for response in responses[-NEWEST:]:
            yield {name: _as_record(response, identity=_as_record(response.identity))}
    for key, identity in state.keys[-NEWEST:]:
        yield {"key": key, "identity": _as_record(identity)}
    for identity, req_msg_id in state.req_msg_ids[-NEWEST:]:
        yield {"req_msg_id": req_msg_id, "identity": _as_record(identity)}
    for sent in state.sent[-NEWEST:]:
        yield {"sent": _as_record(sent, sent_at=sent.sent_at.isoformat())}


def _as_record(value: Any, *, omit: Collection[str] = (), **replacements: Any) -> dict[str, Any]:
    """The fields of a dataclass, with replacements. Not ``asdict``, which copies large bodies."""
    names = [field.name for field in fields(value) if field.name not in omit]
    return {name: replacements[name] if name in replacements else getattr(value, name) for name in names}


def _add_record(saved: SavedState, record: dict[str, Any]) -> None:
    if "exchange" in record:
        record_fields, raw = record["exchange"], base64.b64decode(record["raw"])
        record_fields["received_at"] = datetime.fromisoformat(record_fields["received_at"])
        body = read_json(raw) if record["was_read"] else None
        saved.exchanges.append(Exchange(**record_fields, raw=raw, body=body))
    elif "taken" in record:
        saved.accepted.append(_response(record["taken"]))
    elif "last" in record:
        saved.last.append(_response(record["last"]))
    elif "key" in record:
        saved.keys.append((record["key"], Identity(**record["identity"])))
    elif "req_msg_id" in record:
        saved.req_msg_ids.append((Identity(**record["identity"]), record["req_msg_id"]))
    else:
        record_fields = record["sent"]
        record_fields |= {
            "kind": Kind(record_fields["kind"]),
            "sent_at": datetime.fromisoformat(record_fields["sent_at"]),
        }
        saved.sent.append(Sent(**record_fields))


def _response(record_fields: dict[str, Any]) -> AcceptedResponse:
    result = record_fields.pop("result")
    return AcceptedResponse(
        **{**record_fields, "identity": Identity(**record_fields["identity"])},
        result=None if result is None else Result(result),
    )


def _read(line: bytes) -> dict[str, Any]:
    try:
        record = read_json(line, max_bytes=len(line))
    except Unreadable as unreadable:
        raise ValueError(unreadable.detail) from None
    if not isinstance(record, dict):
        raise TypeError("not a JSON object")
    return record
