"""Labels and sentences of the audit trail.

Entries are sealed, so their stored words never change; the tables here translate old and new ones alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.audit.models import AuditAction, AuditEntry, AuditObject
from app.audit.queries import SealStatus
from app.ui.listing import EmptyList, no_matches
from app.ui.numbers import pluralize_capped
from app.webhooks.presenters import ATTEMPT_OUTCOMES

ACTIONS = {
    AuditAction.SIGNED_IN: "Signed in",
    AuditAction.SIGN_IN_FAILED: "Sign-in failed",
    AuditAction.THROTTLED: "Too many failed attempts",
    AuditAction.SIGNED_OUT: "Signed out",
    AuditAction.SESSION_REVOKED: "Revoked session",
    AuditAction.RESPONDED: "Responded",
    AuditAction.RESPONSE_UNDONE: "Undid response",
    AuditAction.CHECK_DISMISSED: "Dismissed order check",
    AuditAction.WEBHOOK_CANCELED: "Canceled delivery",
    AuditAction.WEBHOOK_FAILED: "Delivery failed",
    AuditAction.RESENT: "Resent",
    AuditAction.REPROCESSED: "Reprocessed",
    AuditAction.PAUSED: "Paused",
    AuditAction.RESUMED: "Resumed",
    AuditAction.BREAKER_OPENED: "Stopped responding",
    AuditAction.BREAKER_CLOSED: "Responding again",
    AuditAction.ANNOUNCED: "Changed announcement",
    AuditAction.EXPORTED: "Exported",
    AuditAction.IMPORTED: "Imported",
    AuditAction.PARTNER_ADDED: "Added partner",
    AuditAction.PARTNER_CHANGED: "Changed partner",
    AuditAction.KEY_ADDED: "Added key",
    AuditAction.KEY_REVOKED: "Revoked key",
    AuditAction.PERSON_ADDED: "Added user",
    AuditAction.PERSON_CHANGED: "Changed user",
    AuditAction.SUPPLIER_CHANGED: "Changed supplier",
    AuditAction.ASSIGNED: "Assigned",
    AuditAction.COMMENTED: "Commented",
    AuditAction.COMMENT_DELETED: "Deleted comment",
    AuditAction.RESOLVED: "Resolved",
    AuditAction.REOPENED: "Reopened",
    AuditAction.CANCELED: "Canceled",
    AuditAction.VIEW_SAVED: "Saved view",
    AuditAction.VIEW_CHANGED: "Changed view",
    AuditAction.VIEW_DELETED: "Deleted view",
    AuditAction.PRUNED: "Deleted old records",
}

OBJECTS = {
    AuditObject.ORDER: "Orders",
    AuditObject.MESSAGE: "Webhooks",
    AuditObject.INBOUND: "Incoming messages",
    AuditObject.PARTNER: "Partners",
    AuditObject.PERSON: "Users",
    AuditObject.SUPPLIER: "Suppliers",
    AuditObject.JOB: "Background jobs",
    AuditObject.EXPORT: "Exports",
    AuditObject.VIEW: "Views",
    AuditObject.RECORDS: "Records",
}

KEYS = {
    "what came of it": "result",
    "tries": "attempts",
    "answer": "response",
    "form": "format",
    "message": "webhook",
    "further": "custom fields",
    "why": "reason",
    "probes in vain": "failed probes",
    "held since": "paused since",
    "may sign in": "active",
    "with": "assigned to",
    "at once": "concurrency",
    "a minute": "rate per minute",
    "waits in seconds": "retry schedule",
    "deadline in seconds": "timeout in seconds",
    "takes returns": "accepts return",
    "own authorities": "trusted CA certificates",
    "values of headers": "header values",
    "the others end in seconds": "earlier ones expire in seconds",
}
"""Labels of stored keys; other keys are shown with spaces for underscores."""

CODED_KEYS = frozenset(
    {
        "state",
        "result",
        "answer",
        "delivery",
        "effect",
        "reason",
        "mail_assigned",
        "mail_mentioned",
        "mail_orders",
        "mail_deadlines",
        "mail_responses",
        "mail_partners",
    }
)
"""Keys whose values are codes, not text that a person entered."""

RESPONSES = {"none": "none", "ACCEPT": "Confirmed", "REJECT": "Rejected", "RETURN": "Returned"}
"""Labels of the stored codes of a response."""

SHORT_ID_LENGTH = 6
"""Last characters of a webhook's ID that are shown."""

CODES = {
    "pending": "queued",
    "cancelled": "canceled",
    "held": "paused",
    **{reason.value: chip.label for reason, chip in ATTEMPT_OUTCOMES.items()},
}
"""Labels of codes; other codes are shown with spaces for underscores."""

REASONS = {
    "sign_in_limit": "Too many failures. Further failures are not recorded for 10 minutes.",
    "Many in a row; further ones are left out for ten minutes.": (
        "Too many failures. Further failures are not recorded for 10 minutes."
    ),
}
"""Sentences for coded reasons; other reasons were typed by people."""

UNKNOWN_USER = "unknown user"
_UNKNOWN_NAMES = frozenset({"unknown_user", "a name that nobody has"})
_EMPTY: tuple[Any, ...] = (None, "", [], {})
_CODE = re.compile(r"[a-z_]+")
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@dataclass(frozen=True, slots=True)
class Change:
    """One changed value; ``before`` is None if there was none, ``after`` is None if only the old is known."""

    name: str
    before: str | None
    after: str | None


def action_label(entry: AuditEntry) -> str:
    """What was done; an unknown action as stored."""
    return ACTIONS[AuditAction(entry.action)] if entry.action in set(AuditAction) else entry.action


def actor_label(entry: AuditEntry) -> str:
    """Who did it."""
    if entry.actor:
        return entry.actor
    return "Unknown" if entry.action == AuditAction.SIGN_IN_FAILED else "PO Confirm"


def origin_label(entry: AuditEntry) -> str:
    """Where it came from: the IP address if known, otherwise the role or the kind of process."""
    return entry.address or entry.role or ("Background job" if entry.person_id else "Automatic")


def role_label(entry: AuditEntry) -> str:
    """The role of the person at that time."""
    return entry.role.capitalize() if entry.role else "–"


def object_label(entry: AuditEntry) -> str:
    """The object of the action."""
    is_sign_in = entry.action in (AuditAction.SIGN_IN_FAILED, AuditAction.THROTTLED)
    if entry.object_name in _UNKNOWN_NAMES and is_sign_in:
        return UNKNOWN_USER
    return entry.object_name or entry.object_id


def reason_label(entry: AuditEntry) -> str:
    """The reason that a person entered, or the sentence of a coded reason."""
    if entry.action == AuditAction.SIGN_IN_FAILED:
        return REASONS.get(entry.reason, entry.reason)
    return f"“{entry.reason}”" if entry.reason else ""


def changes(entry: AuditEntry, zone: ZoneInfo) -> list[Change]:
    """The values that an entry changed; unchanged and empty ones are left out. Times are in ``zone``.

    A response is shown whole, since it may repeat the one before.
    """
    old, new = entry.old_values, entry.new_values
    shows_unchanged = entry.action == AuditAction.RESPONDED
    result = []
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name), new.get(name)
        is_empty = before in _EMPTY and after in _EMPTY
        is_unchanged = name in old and name in new and before == after
        if is_empty or (is_unchanged and not shows_unchanged):
            continue
        had_value = not is_unchanged and before not in _EMPTY and (name, before) != ("answer", "none")
        result.append(
            Change(
                KEYS.get(name, name.replace("_", " ")),
                before=_changed_text(name, before, zone) if had_value else None,
                after=_changed_text(name, after, zone) if name in new else None,
            )
        )
    return result


def _changed_text(name: str, value: Any, zone: ZoneInfo) -> str:
    if name == "answer" and value in RESPONSES:
        return RESPONSES[value]
    if name == "message" and isinstance(value, str) and value.startswith("msg_"):
        return f"…{value[-SHORT_ID_LENGTH:]}"
    if name in CODED_KEYS and isinstance(value, str) and _CODE.fullmatch(value):
        return CODES.get(value, value.replace("_", " "))
    return value_text(value, zone)


def value_text(value: Any, zone: ZoneInfo) -> str:
    """A stored value as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in _EMPTY:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {value_text(part, zone)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(value_text(part, zone) for part in value)
    return _time_text(value, zone) if isinstance(value, str) else str(value)


def empty_trail(filters: Mapping[str, Any]) -> EmptyList:
    """Why the trail is empty."""
    if filters:
        return no_matches("entries", filters.get("q", ""), "Clear filters")
    text = "Sign-ins, responses, resends, exports and configuration changes appear here."
    return EmptyList("empty", "No entries yet", text)


def integrity_text(status: SealStatus) -> str:
    """How far the trail is sealed."""
    if status.seal is None:
        return "Not sealed yet."
    text = f"Sealed through entry #{status.seal.last_id}"
    if not status.since:
        return f"{text}."
    return f"{text}; {pluralize_capped(status.since, 'newer entry', 'newer entries')}."


def _time_text(text: str, zone: ZoneInfo) -> str:
    """An ISO 8601 time on the reader's clock; any other text unchanged."""
    if not _ISO_TIME.match(text):
        return text
    try:
        at = datetime.fromisoformat(text)
        return f"{at.astimezone(zone):%d %b %Y, %H:%M:%S}" if at.tzinfo else text
    except (ValueError, OverflowError):
        return text
