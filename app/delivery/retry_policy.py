"""What an HTTP response means and when to retry: pure functions over one table.

The worker applies them after every attempt; ``recording`` makes the exceptions, such as failed resends. Waits
are in seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from app.delivery.call_result import CallResult, Failure
from app.network.replies import PartnerReply, read_reply
from app.network.vocabulary import REQ_MSG_ID_MAX, ResponseCode

DEFAULT_SCHEDULE: tuple[float, ...] = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
"""Seconds to wait after the first, second, … failed attempt: about three days in total."""
RETRY_AFTER_MAX = 36_000.0
"""A partner's Retry-After counts for at most ten hours."""
JITTER = 0.2
"""Waits are longer by up to this share, so that messages that failed together spread out."""
TEXT_MAX = 1_000
"""Maximum length of a text of the partner's reply, in characters; longer ones are cut."""


class Step(StrEnum):
    """What happens to the message now."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    RETRY = "retry"
    FAILED = "failed"


class Reason(StrEnum):
    """Why: the row of the table that applied."""

    DELIVERED = "delivered"
    ALREADY_RECEIVED = "already_received"
    REFUSED_BY_PARTNER = "refused_by_partner"
    REFUSED_STATUS = "refused_status"
    UNREADABLE_RESPONSE = "unreadable_answer"
    WRONG_OBJECT = "wrong_object"
    REDIRECT = "redirect"
    CREDENTIALS = "credentials"
    GONE = "gone"
    BUSY = "busy"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    NAME = "name"
    ADDRESS_REFUSED = "address_refused"
    CONNECT = "connect"
    TLS = "tls"
    RESET = "reset"
    MALFORMED_RESPONSE = "odd_answer"
    BAD_TARGET = "bad_target"
    INTERNAL = "internal"
    INTERRUPTED = "interrupted"


ACCEPTED_OUTCOMES = (Reason.DELIVERED.value, Reason.ALREADY_RECEIVED.value)
"""Outcomes of attempts after which the partner has the message."""
REFUSED_OUTCOMES = (Reason.REFUSED_BY_PARTNER.value, Reason.REFUSED_STATUS.value)
"""Outcomes of attempts in which the partner refused the message for good."""


@dataclass(frozen=True, slots=True)
class PartnerReplyDetails:
    """The fields of the partner's reply: texts cut to `TEXT_MAX` characters, empty if absent."""

    response_code: int | None = None
    response_message: str = ""
    result: str = ""
    req_msg_id: str = ""
    error_cd: str = ""
    error_dtl: str = ""
    error_field: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(PartnerReplyDetails):
    """The result of one attempt, with what the partner replied.

    `wait_seconds` is set for RETRY only. `unknown` means that the partner may have acted on the message,
    `credentials` that the key or the URL is probably wrong, `gone` that it accepts no more messages there,
    and `transport` that there was no valid response, which the circuit breaker counts.
    """

    step: Step
    reason: Reason
    wait_seconds: float | None = None
    unknown: bool = False
    credentials: bool = False
    gone: bool = False
    transport: bool = False

    @property
    def partner_text(self) -> str:
        """The partner's description of the error; empty if it gave none."""
        return self.error_dtl or self.response_message


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the table, before the schedule is applied."""

    step: Step
    reason: Reason
    unknown: bool = False
    credentials: bool = False
    gone: bool = False
    transport: bool = False
    respects_retry_after: bool = False


_DELIVERED = _Row(Step.DELIVERED, Reason.DELIVERED)
_ALREADY_RECEIVED = _Row(Step.DELIVERED, Reason.ALREADY_RECEIVED)
_REFUSED_BY_PARTNER = _Row(Step.REFUSED, Reason.REFUSED_BY_PARTNER)
_REFUSED_STATUS = _Row(Step.REFUSED, Reason.REFUSED_STATUS)
_UNREADABLE = _Row(Step.RETRY, Reason.UNREADABLE_RESPONSE, unknown=True)
_WRONG_OBJECT = _Row(Step.RETRY, Reason.WRONG_OBJECT, unknown=True)
_REDIRECT = _Row(Step.RETRY, Reason.REDIRECT)
_CREDENTIALS = _Row(Step.RETRY, Reason.CREDENTIALS, credentials=True)
_SERVER_ERROR = _Row(Step.RETRY, Reason.SERVER_ERROR, unknown=True)

_BY_STATUS = {
    401: _CREDENTIALS,
    403: _CREDENTIALS,
    404: _CREDENTIALS,
    405: _CREDENTIALS,
    408: _Row(Step.RETRY, Reason.BUSY),
    410: _Row(Step.RETRY, Reason.GONE, gone=True),
    425: _Row(Step.RETRY, Reason.BUSY),
    429: _Row(Step.RETRY, Reason.RATE_LIMITED, respects_retry_after=True),
    503: _Row(Step.RETRY, Reason.BUSY, unknown=True, respects_retry_after=True),
}

_BY_FAILURE = {
    Failure.TIMEOUT: Reason.TIMEOUT,
    Failure.NAME: Reason.NAME,
    Failure.ADDRESS: Reason.ADDRESS_REFUSED,
    Failure.CONNECT: Reason.CONNECT,
    Failure.TLS: Reason.TLS,
    Failure.RESET: Reason.RESET,
    Failure.MALFORMED_RESPONSE: Reason.MALFORMED_RESPONSE,
    Failure.BAD_TARGET: Reason.BAD_TARGET,
    Failure.INTERNAL: Reason.INTERNAL,
}
NO_RESPONSE_REASONS = tuple(reason for reason in _BY_FAILURE.values() if reason is not Reason.INTERNAL)
"""The reasons of an attempt without a valid HTTP response."""


def judge(
    result: CallResult,
    *,
    attempts: int,
    schedule: Sequence[float],
    success_codes: Collection[int],
    object_id: str,
    after_unknown: bool,
    jitter: float,
    now: datetime | None = None,
) -> Verdict:
    """The result of an attempt and what happens next.

    `attempts` counts the automatic ones so far including this one; once it exceeds the length of `schedule`
    (seconds), no attempt is left. `success_codes` are the partner's `response_code`s of success besides 0,
    `object_id` is the order's, `after_unknown` says whether an earlier attempt may have been received.
    `jitter` from 0 to 1 lengthens the wait by 0 to 20%. `now` (aware) is the time against which a date in
    Retry-After is read if the response has no Date. Never raises.
    """
    reply = read_reply(result.body) if result.body and not result.truncated else None
    row = _row(result, reply, _Expected(success_codes, object_id, after_unknown))
    step, wait = row.step, None
    if step is Step.RETRY:
        wait = _wait_seconds(row, attempts, schedule, 1 + JITTER * min(max(jitter, 0.0), 1.0), result, now)
        step = Step.FAILED if wait is None else Step.RETRY
    return Verdict(
        step=step,
        reason=row.reason,
        wait_seconds=wait,
        unknown=row.unknown,
        credentials=row.credentials,
        gone=row.gone,
        transport=row.transport,
        **_details(reply),
    )


@dataclass(frozen=True, slots=True)
class _Expected:
    """What this app knows of the message when it reads a response."""

    success_codes: Collection[int]
    object_id: str
    after_unknown: bool


def _row(result: CallResult, reply: PartnerReply | None, expected: _Expected) -> _Row:
    status = result.status
    if result.failure is not None or status is None:
        reason = _BY_FAILURE[result.failure] if result.failure else Reason.INTERNAL
        return _Row(Step.RETRY, reason, unknown=result.sent, transport=reason is not Reason.INTERNAL)
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return _REDIRECT
    return _SERVER_ERROR if status >= 500 else _reply_row(status, reply, expected)


def _reply_row(status: int, reply: PartnerReply | None, expected: _Expected) -> _Row:
    """The row of a 2xx response, or of a 4xx response that is about the message."""
    if reply is not None and reply.object_id and reply.object_id != expected.object_id:
        return _WRONG_OBJECT
    refused = _REFUSED_STATUS if status >= 400 else _REFUSED_BY_PARTNER
    code = reply.response_code if reply is not None else None
    is_duplicate = code == ResponseCode.DUPLICATE and code not in expected.success_codes
    if status == 409 or is_duplicate:
        return _ALREADY_RECEIVED if expected.after_unknown else refused
    return refused if status >= 400 else _success_row(reply, expected)


def _success_row(reply: PartnerReply | None, expected: _Expected) -> _Row:
    """The row of a 2xx response. The body decides whether the partner accepted the message."""
    if reply is None:
        return _UNREADABLE
    if reply.says_failure or (reply.response_code != 0 and reply.response_code not in expected.success_codes):
        return _REFUSED_BY_PARTNER
    if reply.has_payload and reply.object_id != expected.object_id:
        return _WRONG_OBJECT
    return _DELIVERED


def _wait_seconds(
    row: _Row,
    attempts: int,
    schedule: Sequence[float],
    jitter_factor: float,
    result: CallResult,
    now: datetime | None,
) -> float | None:
    """The seconds until the next attempt; None if none is left. `jitter_factor` lengthens the wait."""
    if attempts > len(schedule) and not (row.gone and schedule):
        return None
    # A partner that is gone is paused: its messages keep their last wait.
    wait = schedule[min(max(attempts, 1), len(schedule)) - 1] * jitter_factor
    requested = _retry_after(result, now) if row.respects_retry_after else None
    return wait if requested is None else max(wait, min(requested * jitter_factor, RETRY_AFTER_MAX))


def _details(reply: PartnerReply | None) -> dict[str, Any]:
    """The fields of ``PartnerReplyDetails``."""
    if reply is None:
        return {}
    return {
        "response_code": reply.response_code,
        "response_message": reply.response_message[:TEXT_MAX],
        "result": reply.result[:TEXT_MAX],
        # Messages are looked up by it, and no index takes a long one.
        "req_msg_id": reply.req_msg_id[:REQ_MSG_ID_MAX],
        "error_cd": reply.error_cd[:TEXT_MAX],
        "error_dtl": reply.error_dtl[:TEXT_MAX],
        "error_field": reply.error_field[:TEXT_MAX],
    }


def _retry_after(result: CallResult, now: datetime | None) -> float | None:
    """The seconds of Retry-After (RFC 9110, 10.2.3); None if it is absent or invalid."""
    value = result.header("Retry-After").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:20]), RETRY_AFTER_MAX)
    until = _http_date(value)
    if until is None:
        return None
    # Relative to the partner's clock, which may differ from the server's.
    start = _http_date(result.header("Date")) or now or datetime.now(UTC)
    return min((until - start).total_seconds(), RETRY_AFTER_MAX)


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
