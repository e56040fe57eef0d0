"""The evidence of one order: a ZIP that an auditor can read offline, and check against its own digests.

Bodies are byte for byte what was sent and received. Only where a partner sent a secret of ours back it is
taken out, and then the pack says so. Everything is written to the file as it is read.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from app import clock
from app.audit import queries as audit_queries
from app.audit.models import AuditEntry, AuditObject
from app.audit.seals import last_seal
from app.delivery.models import Attempt, Message
from app.inbound.models import InboundMessage
from app.orders.models import PurchaseOrder
from app.orders.timeline import Event, timeline
from app.partners.masking import MASK, masker, secrets_of
from app.webhooks.queries import messages_of_order

Render = Callable[..., str]
Describe = Callable[[Event], str]
PREVIEW = 20_000
"""Bytes of a body that stand in the summary; the file has all."""


@dataclass
class Packed:
    """One file of the pack."""

    path: str
    size: int
    sha256: str


@dataclass
class Exchange:
    """One attempt as the summary shows it."""

    attempt: Attempt
    request_headers: list[list[str]]
    response_headers: list[list[str]]
    response: str
    folder: str
    masked: bool


@dataclass
class Sent:
    """One message of ours as the summary shows it."""

    message: Message
    body: str
    path: str
    is_whole: bool
    exchanges: list[Exchange] = field(default_factory=list)


@dataclass
class Came:
    """One message of the partner as the summary shows it."""

    message: InboundMessage
    body: str
    answer: str
    folder: str


class Pack:
    """A ZIP under way: every file is digested as it is added."""

    def __init__(self, file: IO[bytes], at: datetime) -> None:
        self.files: list[Packed] = []
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._at = at.timetuple()[:6]

    def add(self, path: str, content: bytes | str) -> Packed:
        """Add a file; ``path`` is ours, never something that somebody typed or sent."""
        raw = content.encode("utf-8", "replace") if isinstance(content, str) else content
        self._write(path, raw)
        packed = Packed(path, len(raw), hashlib.sha256(raw).hexdigest())
        self.files.append(packed)
        return packed

    def close(self) -> None:
        """End it with the digests of all files, in the form that ``sha256sum -c`` reads."""
        sums = "".join(f"{one.sha256}  {one.path}\n" for one in self.files)
        self._write("SHA256SUMS", sums.encode())
        self._zip.close()

    def _write(self, path: str, raw: bytes) -> None:
        info = zipfile.ZipInfo(path, self._at)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        self._zip.writestr(info, raw)


def write(
    file: IO[bytes],
    session: Session,
    order: PurchaseOrder,
    *,
    zone: ZoneInfo,
    by: str,
    render: Render,
    describe: Describe,
) -> int:
    """Write the pack of an order that was loaded with its history; returns the number of files.

    ``render`` renders the summary page; ``describe`` is the text of an event.
    """
    now = clock.now()
    pack = Pack(file, now.astimezone(zone))
    mask = masker(secrets_of(order.partner))
    messages = messages_of_order(session, order.id)
    events = timeline(session, order, messages)
    _order(pack, order)
    came = [_came(pack, session, one) for one in _inbound_of(session, order)]
    sent = [_sent(pack, session, one, mask) for one in reversed(messages)]
    audit = _audit_of(session, order, messages, came)
    pack.add("timeline.json", _json([_event(event, describe) for event in events]))
    pack.add("audit.jsonl", "".join(_line(_entry(one)) for one in audit))
    summary = render(
        order=order,
        events=events,
        sent=sent,
        came=came,
        audit=audit,
        seal=last_seal(session),
        files=list(pack.files),
        made_at=now,
        made_by=by,
        mask=MASK,
    )
    pack.add("index.html", summary)
    pack.close()
    return len(pack.files) + 1


def _order(pack: Pack, order: PurchaseOrder) -> None:
    pack.add(
        "order.json",
        _json(
            {
                "id": order.id,
                "partner": order.partner.name,
                **{
                    name: getattr(order, name)
                    for name in (
                        *("object_id", "buyer_po_number", "buyer_b2b_id", "buyer_name", "supplier_b2b_id"),
                        *("supplier_name", "subject", "total", "status", "version", "delivery"),
                        *("received_at", "revised_at", "respond_by"),
                    )
                },
                "answer": order.response,
                "answered_at": order.responded_at,
                "answered_by": order.responded_by,
                "decisions": [
                    {
                        "number": one.number,
                        "version": one.version,
                        "response": one.response,
                        "remarks": one.remarks,
                        "further": one.infos,
                        "by": one.person_name,
                        "at": one.decided_at,
                        "message_id": one.message_id,
                    }
                    for one in reversed(order.decisions)
                ],
                "status_changes": [
                    {
                        "action": one.action,
                        "remarks": one.remarks,
                        "from": one.status_from,
                        "to": one.status_to,
                        "at": one.received_at,
                        "inbound_id": one.inbound_id,
                    }
                    for one in reversed(order.status_changes)
                ],
            }
        ),
    )
    for revision in reversed(order.revisions):
        pack.add(f"order/version-{revision.version}.json", revision.body)


def _inbound_of(session: Session, order: PurchaseOrder) -> Iterator[InboundMessage]:
    """What the partner sent of this order, oldest first, one body in memory at a time."""
    ids = session.scalars(
        select(InboundMessage.id).where(InboundMessage.order_id == order.id).order_by(InboundMessage.id)
    ).all()
    for one in ids:
        message = session.scalar(
            select(InboundMessage)
            .where(InboundMessage.id == one)
            .options(undefer(InboundMessage.body), undefer(InboundMessage.answer_body))
        )
        if message:
            yield message
            session.expire(message, ["body", "answer_body"])


def _came(pack: Pack, session: Session, message: InboundMessage) -> Came:
    folder = f"received/{message.id}"
    pack.add(f"{folder}/request-body.json", message.body)
    pack.add(f"{folder}/request-headers.txt", _header_lines(message.headers))
    pack.add(f"{folder}/answer-body.json", message.answer_body)
    names = (
        *("id", "kind", "received_at", "remote_address", "path", "size", "effect", "error_cd"),
        *("error_field", "detail", "answer_status", "content_sha256", "repeat_of"),
        *("again_at", "again_by", "again_reason", "again_detail", "first_effect"),
    )
    pack.add(f"{folder}/message.json", _json({name: getattr(message, name) for name in names}))
    return Came(message, _preview(message.body), _preview(message.answer_body), folder)


def _sent(pack: Pack, session: Session, message: Message, mask: Callable[[str], str]) -> Sent:
    folder = f"sent/{message.id}"
    path = f"{folder}/request-body.json"
    is_whole = hashlib.sha256(message.body).hexdigest() == message.body_sha256
    pack.add(path, message.body)
    names = (
        *("id", "kind", "created_at", "created_by", "decision_number", "object_version", "body_sha256"),
        *("state", "finished_at", "reason", "note", "status_code", "response_code", "response_message"),
        *("result", "req_msg_id", "error_cd", "error_dtl", "error_field", "result_from", "result_at"),
        *("result_inbound_id", "attempts_made"),
    )
    told = {name: getattr(message, name) for name in names}
    pack.add(f"{folder}/message.json", _json({**told, "body_is_as_it_was_made": is_whole}))
    sent = Sent(message, _preview(message.body), path, is_whole)
    for attempt in sorted(message.attempts, key=lambda one: one.number):
        sent.exchanges.append(_exchange(pack, session, folder, attempt, mask))
    return sent


def _exchange(
    pack: Pack, session: Session, folder: str, attempt: Attempt, mask: Callable[[str], str]
) -> Exchange:
    folder = f"{folder}/attempt-{attempt.number:02}"
    raw = attempt.response_body
    session.expire(attempt, ["response_body"])  # read once, held no longer
    body = _masked(raw, mask)
    request = [[name, mask(value)] for name, value in attempt.request_headers]
    response = [[name, mask(value)] for name, value in attempt.response_headers]
    pack.add(f"{folder}/request-headers.txt", _header_lines(request))
    pack.add(f"{folder}/response-headers.txt", _header_lines(response))
    pack.add(f"{folder}/response-body.txt", body)
    names = (
        *("number", "trigger", "actor", "asked_reason", "url", "remote_address", "started_at", "ended_at"),
        *("outcome", "detail", "status", "response_size", "duration_ms"),
    )
    told = {name: getattr(attempt, name) for name in names}
    told |= {"response_kept": len(raw), "secrets_were_taken_out": body != raw, "detail": mask(attempt.detail)}
    pack.add(f"{folder}/attempt.json", _json(told))
    return Exchange(attempt, request, response, _preview(body), folder, body != raw)


def _masked(raw: bytes, mask: Callable[[str], str]) -> bytes:
    """The body as it came, unless a secret of ours stands in it."""
    text = raw.decode("utf-8", "surrogateescape")
    without = mask(text)
    return raw if without == text else without.encode("utf-8", "surrogateescape")


def _audit_of(
    session: Session, order: PurchaseOrder, messages: Sequence[Message], came: Sequence[Came]
) -> list[AuditEntry]:
    found = [
        *audit_queries.entries_of(session, AuditObject.ORDER, [str(order.id)]),
        *audit_queries.entries_of(session, AuditObject.MESSAGE, [one.id for one in messages]),
        *audit_queries.entries_of(session, AuditObject.INBOUND, [one.message.id for one in came]),
    ]
    return sorted(found, key=lambda entry: entry.id)


def _entry(entry: AuditEntry) -> dict[str, Any]:
    """An entry with exactly the fields and texts that are sealed, in their order."""
    names = (
        *("id", "at", "deed", "actor", "person_id", "role", "address", "user_agent", "object_kind"),
        *("object_id", "object_name", "reason", "before", "after"),
    )
    told = {name: getattr(entry, "action" if name == "deed" else name) for name in names}
    return {**told, "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds")}


def _event(event: Event, describe: Describe) -> dict[str, Any]:
    return {
        "at": event.at,
        "what": event.kind,
        "actor": event.actor,
        "sentence": describe(event),
        "said": event.remarks,
        "version": event.version,
        "message_id": event.message_id,
        "inbound_id": event.inbound_id,
        "count": event.count,
    }


def _preview(body: bytes) -> str:
    text = body[:PREVIEW].decode("utf-8", "replace")
    return text if len(body) <= PREVIEW else f"{text}\n… {len(body)} bytes in all: see the file."


def _header_lines(headers: Sequence[Sequence[str]]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=audit_fields) + "\n"


def audit_fields(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
