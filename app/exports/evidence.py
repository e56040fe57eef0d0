"""The evidence pack of one order: a ZIP that an auditor can read offline and verify by its checksums.

Bodies are byte for byte what was sent and received. Only a secret that a partner sent back is masked,
and then the pack says so. Everything is written to the file as it is read.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from app import clock
from app.audit import queries as audit_queries
from app.audit.models import AuditEntry, AuditObject
from app.audit.seals import last_seal, sealed_fields
from app.delivery.models import Attempt, Message
from app.inbound.models import InboundMessage
from app.orders.models import PurchaseOrder
from app.orders.order_data import decision_data, status_change_data
from app.orders.timeline import TimelineEvent, timeline
from app.partners.masking import MASK, Masker, masker, secrets_of
from app.webhooks.queries import messages_of_order

Render = Callable[..., str]
Describe = Callable[[TimelineEvent], str]
PREVIEW = 20_000
"""Bytes of a body that the summary shows; the file has the whole body."""
ORDER_FIELDS = [
    "object_id",
    "buyer_po_number",
    "buyer_b2b_id",
    "buyer_name",
    "supplier_b2b_id",
    "supplier_name",
    "subject",
    "total",
    "status",
    "version",
    "delivery",
    "received_at",
    "revised_at",
    "respond_by",
]
RECEIVED_FIELDS = [
    "id",
    "kind",
    "received_at",
    "remote_address",
    "path",
    "size",
    "effect",
    "error_cd",
    "error_field",
    "detail",
    "response_status",
    "content_sha256",
    "repeat_of",
    "reprocessed_at",
    "reprocessed_by",
    "reprocess_reason",
    "reprocess_error",
    "first_effect",
]
WEBHOOK_FIELDS = [
    "id",
    "kind",
    "created_at",
    "created_by",
    "decision_number",
    "object_version",
    "body_sha256",
    "state",
    "finished_at",
    "reason",
    "note_code",
    "note_params",
    "status_code",
    "response_code",
    "response_message",
    "result",
    "req_msg_id",
    "error_cd",
    "error_dtl",
    "error_field",
    "result_from",
    "result_at",
    "result_inbound_id",
    "attempts_made",
]
ATTEMPT_FIELDS = [
    "number",
    "trigger",
    "actor",
    "request_reason",
    "request_id",
    "url",
    "remote_address",
    "started_at",
    "ended_at",
    "outcome",
    "detail_code",
    "detail_params",
    "status",
    "response_size",
    "duration_ms",
]
"""The attributes in the JSON files."""


@dataclass
class PackedFile:
    """One file of the pack."""

    path: str
    size: int
    sha256: str


@dataclass
class AttemptEvidence:
    """One attempt in the summary. ``masked`` is whether its response contained a secret."""

    attempt: Attempt
    request_headers: list[list[str]]
    response_headers: list[list[str]]
    response: str
    folder: str
    masked: bool


@dataclass
class SentWebhook:
    """One outgoing webhook in the summary. ``is_whole`` is whether its body is still stored."""

    message: Message
    body: str
    path: str
    is_whole: bool
    attempts: list[AttemptEvidence] = field(default_factory=list)


@dataclass
class ReceivedMessage:
    """One incoming message in the summary."""

    message: InboundMessage
    body: str
    reply: str
    folder: str


class Pack:
    """A ZIP that is being written. The checksum of every file is taken as it is added."""

    def __init__(self, file: IO[bytes], at: datetime) -> None:
        self.files: list[PackedFile] = []
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._at = at.timetuple()[:6]

    def add(self, path: str, content: bytes | str) -> PackedFile:
        """Add a file. ``path`` must not contain anything that a person or partner entered."""
        raw = content.encode("utf-8", "replace") if isinstance(content, str) else content
        self._write(path, raw)
        packed = PackedFile(path, len(raw), hashlib.sha256(raw).hexdigest())
        self.files.append(packed)
        return packed

    def close(self) -> None:
        """Finish with the checksums of all files, in the format of ``sha256sum -c``."""
        checksums = "".join(f"{file.sha256}  {file.path}\n" for file in self.files)
        self._write("SHA256SUMS", checksums.encode())
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

    ``render`` returns the summary page for its keyword arguments; ``describe`` is the text of an event.
    """
    now = clock.now()
    pack = Pack(file, now.astimezone(zone))
    mask = masker(tuple(secrets_of(order.partner)))
    messages = messages_of_order(session, order.id)
    events = timeline(session, order, messages)
    _add_order(pack, order)
    received = [_add_received(pack, message) for message in _inbound_messages(session, order)]
    sent = [_add_sent(pack, session, message, mask) for message in reversed(messages)]
    audit = _audit_entries(session, order, messages, received)
    pack.add("timeline.json", _json([_event_fields(event, describe) for event in events]))
    pack.add("audit.jsonl", "".join(_json_line(sealed_fields(entry)) for entry in audit))
    summary = render(
        order=order,
        events=events,
        sent=sent,
        received=received,
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


def _add_order(pack: Pack, order: PurchaseOrder) -> None:
    decisions = [
        {**decision_data(decision), "further": decision.infos} for decision in reversed(order.decisions)
    ]
    data = {
        "id": order.id,
        "partner": order.partner.name,
        **_fields(order, ORDER_FIELDS),
        "answer": order.response,
        "answered_at": order.responded_at,
        "answered_by": order.responded_by,
        "decisions": decisions,
        "status_changes": [status_change_data(change) for change in reversed(order.status_changes)],
    }
    pack.add("order.json", _json(data))
    for revision in reversed(order.revisions):
        pack.add(f"order/version-{revision.version}.json", revision.body)


def _inbound_messages(session: Session, order: PurchaseOrder) -> Iterator[InboundMessage]:
    """The incoming messages for this order, oldest first, with one body in memory at a time."""
    ids = session.scalars(
        select(InboundMessage.id).where(InboundMessage.order_id == order.id).order_by(InboundMessage.id)
    ).all()
    for inbound_id in ids:
        message = session.scalar(
            select(InboundMessage)
            .where(InboundMessage.id == inbound_id)
            .options(undefer(InboundMessage.body), undefer(InboundMessage.response_body))
        )
        if message:
            yield message
            session.expire(message, ["body", "response_body"])


def _add_received(pack: Pack, message: InboundMessage) -> ReceivedMessage:
    folder = f"received/{message.id}"
    pack.add(f"{folder}/request-body.json", message.body)
    pack.add(f"{folder}/request-headers.txt", _header_lines(message.headers))
    pack.add(f"{folder}/response-body.json", message.response_body)
    pack.add(f"{folder}/message.json", _json(_fields(message, RECEIVED_FIELDS)))
    return ReceivedMessage(message, _preview(message.body), _preview(message.response_body), folder)


def _add_sent(pack: Pack, session: Session, message: Message, mask: Masker) -> SentWebhook:
    folder = f"sent/{message.id}"
    path = f"{folder}/request-body.json"
    is_whole = hashlib.sha256(message.body).hexdigest() == message.body_sha256
    pack.add(path, message.body)
    fields = _fields(message, WEBHOOK_FIELDS)
    pack.add(f"{folder}/message.json", _json({**fields, "body_is_unchanged": is_whole}))
    sent = SentWebhook(message, _preview(message.body), path, is_whole)
    for attempt in sorted(message.attempts, key=lambda attempt: attempt.number):
        sent.attempts.append(_add_attempt(pack, session, folder, attempt, mask))
    return sent


def _add_attempt(
    pack: Pack, session: Session, folder: str, attempt: Attempt, mask: Masker
) -> AttemptEvidence:
    folder = f"{folder}/attempt-{attempt.number:02}"
    raw = attempt.response_body
    session.expire(attempt, ["response_body"])  # It is not needed again.
    body = mask.data(raw)
    request = [[name, mask.text(value)] for name, value in attempt.request_headers]
    response = [[name, mask.text(value)] for name, value in attempt.response_headers]
    pack.add(f"{folder}/request-headers.txt", _header_lines(request))
    pack.add(f"{folder}/response-headers.txt", _header_lines(response))
    pack.add(f"{folder}/response-body.txt", body)
    fields = {
        **_fields(attempt, ATTEMPT_FIELDS),
        "response_kept": len(raw),
        "secrets_were_masked": body != raw,
        "detail_params": attempt.detail.masked(mask.text).params,
    }
    pack.add(f"{folder}/attempt.json", _json(fields))
    return AttemptEvidence(attempt, request, response, _preview(body), folder, body != raw)


def _audit_entries(
    session: Session, order: PurchaseOrder, messages: Sequence[Message], received: Sequence[ReceivedMessage]
) -> list[AuditEntry]:
    message_ids = [message.id for message in messages]
    inbound_ids = [item.message.id for item in received]
    entries = [
        *audit_queries.entries_of(session, AuditObject.ORDER, [str(order.id)]),
        *audit_queries.entries_of(session, AuditObject.MESSAGE, message_ids),
        *audit_queries.entries_of(session, AuditObject.INBOUND, inbound_ids),
    ]
    return sorted(entries, key=lambda entry: entry.id)


def _fields(row: object, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _event_fields(event: TimelineEvent, describe: Describe) -> dict[str, Any]:
    return {
        "at": event.at,
        "what": event.kind,
        "actor": event.actor,
        "sentence": describe(event),
        "remarks": event.remarks,
        "version": event.version,
        "message_id": event.message_id,
        "inbound_id": event.inbound_id,
        "count": event.count,
    }


def _preview(body: bytes) -> str:
    text = body[:PREVIEW].decode("utf-8", "replace")
    return text if len(body) <= PREVIEW else f"{text}\n… {len(body)} bytes in total: see the file."


def _header_lines(headers: Sequence[Sequence[str]]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


def _json_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=_json_value) + "\n"


def _json_value(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
