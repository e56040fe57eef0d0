"""The retry policy: what each reply means for the message, and when it is retried."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.call_result import CallResult, Detail, DetailCode, Failure
from app.delivery.redaction import without_secrets
from app.delivery.retry_policy import (
    DEFAULT_SCHEDULE,
    RETRY_AFTER_MAX,
    TEXT_MAX,
    Reason,
    Step,
    Verdict,
    judge,
)

OURS = "PUO0000000000000000000000000000001"
OTHER = "PUO0000000000000000000000000000002"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def reply(
    code: Any = 0,
    result: str | None = "SUCCESS",
    object_id: str | None = OURS,
    message: str = "Success",
    **errors: str | None,
) -> bytes:
    """A reply in the format of the contract; with `object_id` None it echoes no object."""
    payload: dict[str, Any] = {
        "b2bIds": {"buyerB2BId": "B1", "supplierB2BId": "S1"},
        "resp": {"reqMsgId": "req-1", "result": result, **errors},
        "additionalInfos": [],
    }
    if object_id is not None:
        payload["poConfirmation"] = {"objectId": object_id, "buyerPONumber": "PO-1"}
    return json.dumps({"response_code": code, "response_message": message, "payload": payload}).encode()


GOOD = reply()
REFUSAL = reply(1, "FAILURE", message="Failure", errorCd="E7", errorDtl="too long", errorField="x.y")
DUPLICATE = reply(38, "FAILURE", message="Duplicate reference")


def http_response(status: int, body: bytes = b"", **headers: str) -> CallResult:
    fields = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return CallResult(
        failure=None,
        detail=Detail(),
        status=status,
        headers=fields,
        body=body,
        body_size=len(body),
        truncated=False,
        remote_address="203.0.113.5:443",
        duration_ms=12.0,
        sent=True,
    )


def failed(
    failure: Failure, *, sent: bool = True, status: int | None = None, body: bytes = b""
) -> CallResult:
    detail = Detail(DetailCode.OTHER, {"text": "Something went wrong."})
    return replace(http_response(0, body), failure=failure, detail=detail, status=status, sent=sent)


def verdict_on(result: CallResult, **changes: Any) -> Verdict:
    arguments: dict[str, Any] = {
        "attempts": 1,
        "schedule": DEFAULT_SCHEDULE,
        "success_codes": (0,),
        "object_id": OURS,
        "after_unknown": False,
        "jitter": 0.0,
        "now": NOW,
    }
    return judge(result, **(arguments | changes))


def flags(verdict: Verdict) -> set[str]:
    return {name for name in ("unknown", "credentials", "gone", "transport") if getattr(verdict, name)}


DELIVERED, REFUSED, RETRY, FAILED = Step.DELIVERED, Step.REFUSED, Step.RETRY, Step.FAILED

Expected = tuple[Step, Reason, set[str]]
"""Step, reason and flags of a verdict."""
ACCEPTED: Expected = (DELIVERED, Reason.DELIVERED, set())
REFUSED_BY_BODY: Expected = (REFUSED, Reason.REFUSED_BY_PARTNER, set())
REFUSED_BY_STATUS: Expected = (REFUSED, Reason.REFUSED_STATUS, set())
WRONG_OBJECT = (RETRY, Reason.WRONG_OBJECT, {"unknown"})
UNREADABLE = (RETRY, Reason.UNREADABLE_RESPONSE, {"unknown"})
REDIRECT: Expected = (RETRY, Reason.REDIRECT, set())
CREDENTIALS = (RETRY, Reason.CREDENTIALS, {"credentials"})
SERVER_ERROR = (RETRY, Reason.SERVER_ERROR, {"unknown"})

RESPONSES: dict[str, tuple[int, bytes, Step, Reason, set[str]]] = {
    "a success": (200, GOOD, *ACCEPTED),
    "a success with another 2xx": (202, GOOD, *ACCEPTED),
    "a success without a payload": (200, b'{"response_code":0}', *ACCEPTED),
    "a success with a null payload": (200, b'{"response_code":0,"payload":null}', *ACCEPTED),
    "a success with an empty payload": (200, b'{"response_code":0,"payload":{}}', *ACCEPTED),
    "a success with a payload that is not an object": (
        200,
        b'{"response_code":0,"response_message":"SUCCESS","payload":"string"}',
        *ACCEPTED,
    ),
    "a success with a number as its id": (200, GOOD.replace(b'"req-1"', b"123456789"), *ACCEPTED),
    "a success after a byte order mark": (200, b"\xef\xbb\xbf" + GOOD, *ACCEPTED),
    "a refusal with a number as its code": (200, REFUSAL.replace(b'"E7"', b"12"), *REFUSED_BY_BODY),
    "a success without a result": (200, reply(result=""), *ACCEPTED),
    "a success with a null result": (200, reply(result=None), *ACCEPTED),
    "a success with an unknown result": (200, reply(result="QUEUED"), *ACCEPTED),
    "a response_code of failure": (200, reply(1), *REFUSED_BY_BODY),
    "an unknown response_code": (200, reply(77), *REFUSED_BY_BODY),
    "a negative response_code": (200, reply(-1), *REFUSED_BY_BODY),
    "a result of failure": (200, reply(0, "FAILURE"), *REFUSED_BY_BODY),
    "a result of failure in lowercase": (200, reply(0, " failure "), *REFUSED_BY_BODY),
    "a refusal that echoes nothing": (200, reply(1, "FAILURE", object_id=None), *REFUSED_BY_BODY),
    "a refusal that echoes an empty id": (200, reply(1, "FAILURE", object_id=""), *REFUSED_BY_BODY),
    "a duplicate on a first attempt": (200, DUPLICATE, *REFUSED_BY_BODY),
    "a success for another order": (200, reply(object_id=OTHER), *WRONG_OBJECT),
    "a success that names no order": (200, reply(object_id=None), *WRONG_OBJECT),
    "a success with an empty id": (200, reply(object_id=""), *WRONG_OBJECT),
    "a refusal for another order": (200, reply(1, "FAILURE", object_id=OTHER), *WRONG_OBJECT),
    "an empty body": (200, b"", *UNREADABLE),
    "no content": (204, b"", *UNREADABLE),
    "a page of HTML": (200, b"<html>Welcome</html>", *UNREADABLE),
    "broken JSON": (200, GOOD[:-5], *UNREADABLE),
    "JSON of another shape": (200, b'{"status":"ok"}', *UNREADABLE),
    "a JSON list": (200, b"[0]", *UNREADABLE),
    "a response_code in quotes": (200, reply("0"), *UNREADABLE),
    "a response_code that is true": (200, reply(True), *UNREADABLE),
    "a success with a decimal point": (200, reply(0.0), *ACCEPTED),
    "a failure with a decimal point": (200, reply(1.0), *REFUSED_BY_BODY),
    "a response_code that is not whole": (200, reply(0.5), *UNREADABLE),
    "a null response_code": (200, reply(None), *UNREADABLE),
    "bytes that are not text": (200, b"\xff\xfe\x00", *UNREADABLE),
    "JSON nested too deeply": (200, b"[" * 100_000, *UNREADABLE),
    "the first of the 3xx that says success": (300, GOOD, *REDIRECT),
    "the last of the 3xx that says success": (399, GOOD, *REDIRECT),
    "the last of the 2xx": (299, GOOD, *ACCEPTED),
    "a moved permanently": (301, b"", *REDIRECT),
    "a found": (302, GOOD, *REDIRECT),
    "a not modified": (304, b"", *REDIRECT),
    "a permanent redirect": (308, b"", *REDIRECT),
    "an unauthorized": (401, REFUSAL, *CREDENTIALS),
    "a forbidden": (403, b"", *CREDENTIALS),
    "a not found": (404, b"<html>", *CREDENTIALS),
    "a method not allowed": (405, b"", *CREDENTIALS),
    "a conflict on a first attempt": (409, DUPLICATE, *REFUSED_BY_STATUS),
    "a gone": (410, b"", RETRY, Reason.GONE, {"gone"}),
    "a request timeout": (408, b"", RETRY, Reason.BUSY, set()),
    "a too early": (425, b"", RETRY, Reason.BUSY, set()),
    "a too many requests": (429, b"", RETRY, Reason.RATE_LIMITED, set()),
    "an internal error": (500, b"", *SERVER_ERROR),
    "an internal error that says success": (500, GOOD, *SERVER_ERROR),
    "a bad gateway": (502, b"<html>", *SERVER_ERROR),
    "a service unavailable": (503, b"", RETRY, Reason.BUSY, {"unknown"}),
    "a gateway timeout": (504, b"", *SERVER_ERROR),
    "the last of the 5xx": (599, b"", *SERVER_ERROR),
    "a bad request": (400, REFUSAL, *REFUSED_BY_STATUS),
    "a bad request in HTML": (400, b"<html>", *REFUSED_BY_STATUS),
    "a payment required": (402, b"", *REFUSED_BY_STATUS),
    "a precondition failed": (412, REFUSAL, *REFUSED_BY_STATUS),
    "a too large": (413, b"", *REFUSED_BY_STATUS),
    "an unprocessable": (422, REFUSAL, *REFUSED_BY_STATUS),
    "an unprocessable that says success": (422, GOOD, *REFUSED_BY_STATUS),
    "an unassigned 4xx": (499, b"", *REFUSED_BY_STATUS),
    "a refusal by status for another order": (422, reply(1, "FAILURE", object_id=OTHER), *WRONG_OBJECT),
}


@pytest.mark.parametrize(("status", "body", "step", "reason", "flagged"), RESPONSES.values(), ids=RESPONSES)
def test_each_reply_has_its_verdict(
    status: int, body: bytes, step: Step, reason: Reason, flagged: set[str]
) -> None:
    verdict = verdict_on(http_response(status, body))

    assert (verdict.step, verdict.reason, flags(verdict)) == (step, reason, flagged)
    assert verdict.wait_seconds == (5 if step is RETRY else None)


FAILURES: dict[Failure, tuple[Reason, bool]] = {
    Failure.TIMEOUT: (Reason.TIMEOUT, True),
    Failure.NAME: (Reason.NAME, True),
    Failure.ADDRESS: (Reason.ADDRESS_REFUSED, True),
    Failure.CONNECT: (Reason.CONNECT, True),
    Failure.TLS: (Reason.TLS, True),
    Failure.RESET: (Reason.RESET, True),
    Failure.MALFORMED_RESPONSE: (Reason.MALFORMED_RESPONSE, True),
    Failure.BAD_TARGET: (Reason.BAD_TARGET, True),
    Failure.INTERNAL: (Reason.INTERNAL, False),
}


def test_table_has_every_failure() -> None:
    assert set(FAILURES) == set(Failure)


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("failure", Failure)
def test_failed_attempt_is_retried_and_unknown_if_anything_was_sent(failure: Failure, sent: bool) -> None:
    verdict = verdict_on(failed(failure, sent=sent))
    reason, transport = FAILURES[failure]

    assert (verdict.step, verdict.reason, verdict.wait_seconds) == (RETRY, reason, 5)
    assert flags(verdict) == ({"unknown"} if sent else set()) | ({"transport"} if transport else set())


def test_result_without_status_and_failure_is_our_error() -> None:
    verdict = verdict_on(replace(http_response(200, GOOD), status=None))

    assert (verdict.step, verdict.reason, flags(verdict)) == (RETRY, Reason.INTERNAL, {"unknown"})


@pytest.mark.parametrize("status", [200, 409, 410, 422])
def test_truncated_reply_is_never_a_result(status: int) -> None:
    verdict = verdict_on(failed(Failure.TIMEOUT, status=status, body=GOOD), after_unknown=True)

    assert (verdict.step, verdict.reason) == (RETRY, Reason.TIMEOUT)


def test_oversized_reply_is_unreadable() -> None:
    verdict = verdict_on(replace(http_response(200, GOOD), truncated=True, body_size=10**9))

    assert (verdict.step, verdict.reason, verdict.unknown) == (RETRY, Reason.UNREADABLE_RESPONSE, True)


# --- Already received


@pytest.mark.parametrize(
    ("status", "body"),
    [(409, b""), (409, b"<html>"), (409, DUPLICATE), (409, REFUSAL), (200, DUPLICATE), (400, DUPLICATE)],
)
def test_duplicate_after_an_unknown_outcome_is_delivered(status: int, body: bytes) -> None:
    verdict = verdict_on(http_response(status, body), attempts=2, after_unknown=True)

    assert (verdict.step, verdict.reason) == (DELIVERED, Reason.ALREADY_RECEIVED)
    assert (verdict.wait_seconds, flags(verdict)) == (None, set())


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (409, b"", Reason.REFUSED_STATUS),
        (200, DUPLICATE, Reason.REFUSED_BY_PARTNER),
        (400, DUPLICATE, Reason.REFUSED_STATUS),
    ],
)
def test_duplicate_without_an_earlier_unknown_outcome_is_refused(
    status: int, body: bytes, reason: Reason
) -> None:
    verdict = verdict_on(http_response(status, body), attempts=2, after_unknown=False)

    assert (verdict.step, verdict.reason) == (REFUSED, reason)


@pytest.mark.parametrize("status", [200, 409])
def test_duplicate_of_another_order_is_not_a_delivery(status: int) -> None:
    verdict = verdict_on(http_response(status, reply(38, "FAILURE", object_id=OTHER)), after_unknown=True)

    assert (verdict.step, verdict.reason) == (RETRY, Reason.WRONG_OBJECT)


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_unknown_outcome_does_not_affect_other_replies(status: int) -> None:
    assert verdict_on(http_response(status, DUPLICATE), after_unknown=True).step is RETRY


def test_refusal_after_an_unknown_outcome_is_refused() -> None:
    assert verdict_on(http_response(422, REFUSAL), after_unknown=True).step is REFUSED
    assert verdict_on(http_response(200, REFUSAL), after_unknown=True).step is REFUSED


# --- Success codes of a partner


def test_additional_success_code_is_delivered() -> None:
    for code in (0, 10, 200):
        assert verdict_on(http_response(200, reply(code)), success_codes=[10, 200]).step is DELIVERED
    assert verdict_on(http_response(200, reply(1)), success_codes=[10, 200]).step is REFUSED


def test_success_code_with_failure_result_is_refused() -> None:
    assert verdict_on(http_response(200, reply(10, "FAILURE")), success_codes=[0, 10]).step is REFUSED


def test_duplicate_as_success_code_is_delivered() -> None:
    verdict = verdict_on(http_response(200, reply(38)), success_codes=[0, 38])

    assert (verdict.step, verdict.reason) == (DELIVERED, Reason.DELIVERED)


# --- The text of the reply


def test_reply_fields_are_kept() -> None:
    verdict = verdict_on(http_response(422, REFUSAL))

    assert verdict.response_code == 1
    assert (verdict.response_message, verdict.result, verdict.req_msg_id) == ("Failure", "FAILURE", "req-1")
    assert (verdict.error_cd, verdict.error_dtl, verdict.error_field) == ("E7", "too long", "x.y")
    assert verdict.partner_text == "too long"


def test_detail_without_error_fields_is_the_response_message() -> None:
    assert verdict_on(http_response(200, reply(1, message="Not today"))).partner_text == "Not today"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]"])
def test_fields_without_a_reply_are_empty(body: bytes) -> None:
    verdict = verdict_on(http_response(422, body))

    assert verdict.response_code is None
    assert (verdict.response_message, verdict.result, verdict.req_msg_id) == ("", "", "")
    assert (verdict.error_cd, verdict.error_dtl, verdict.error_field, verdict.partner_text) == (
        "",
        "",
        "",
        "",
    )


def test_null_and_missing_error_fields_are_empty() -> None:
    verdict = verdict_on(http_response(200, reply(errorCd=None, errorDtl="")))

    assert (verdict.error_cd, verdict.error_dtl, verdict.error_field) == ("", "", "")


def test_long_reply_texts_are_truncated() -> None:
    body = reply(
        1, "F" * 5000, message="m" * 5000, errorCd="c" * 5000, errorDtl="d" * 5000, errorField="f" * 5000
    )
    verdict = verdict_on(http_response(200, body))

    for text in (
        verdict.result,
        verdict.response_message,
        verdict.error_cd,
        verdict.error_dtl,
        verdict.error_field,
    ):
        assert len(text) == TEXT_MAX


# --- When


def test_schedule_ends_without_further_attempts() -> None:
    waits = [verdict_on(http_response(500), attempts=attempts).wait_seconds for attempts in range(1, 10)]
    last = verdict_on(http_response(500), attempts=10)

    assert waits == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert (last.step, last.reason, last.wait_seconds, last.unknown) == (
        FAILED,
        Reason.SERVER_ERROR,
        None,
        True,
    )


def test_last_attempt_may_succeed_or_be_refused() -> None:
    assert verdict_on(http_response(200, GOOD), attempts=10).step is DELIVERED
    assert verdict_on(http_response(422), attempts=10).step is REFUSED


def test_partner_without_a_schedule_gets_one_attempt() -> None:
    assert verdict_on(http_response(500), schedule=()).step is FAILED
    assert verdict_on(http_response(410), schedule=()).step is FAILED


def test_message_to_a_gone_partner_never_runs_out_of_attempts() -> None:
    verdict = verdict_on(http_response(410), attempts=99)

    assert (verdict.step, verdict.gone, verdict.wait_seconds) == (RETRY, True, 86400)


def test_jitter_adds_up_to_a_fifth_to_a_wait() -> None:
    waits = [verdict_on(http_response(500), jitter=jitter).wait_seconds or 0 for jitter in (-1, 0, 0.5, 1, 2)]

    assert waits == pytest.approx([5, 5, 5.5, 6, 6])
    assert all(earlier <= later for earlier, later in pairwise(waits))


RETRY_AFTER: dict[str, tuple[str, float]] = {
    "less than planned": ("1", 5),
    "nothing": ("0", 5),
    "seconds": ("120", 120),
    "spaces around": (" 120 ", 120),
    "more than ten hours": ("360000", RETRY_AFTER_MAX),
    "more than a number holds": ("9" * 5000, RETRY_AFTER_MAX),
    "a date": ("Mon, 23 Nov 2026 12:03:00 GMT", 180),
    "a date in the past": ("Mon, 23 Nov 2020 12:03:00 GMT", 5),
    "a date in the far future": ("Mon, 23 Nov 2099 12:03:00 GMT", RETRY_AFTER_MAX),
    "a date without a zone": ("Mon, 23 Nov 2026 12:03:00 -0000", 180),
    "a date of another zone": ("Mon, 23 Nov 2026 14:03:00 +0200", 180),
    "an old form of a date": ("Monday, 23-Nov-26 12:03:00 GMT", 180),
    "a negative number": ("-60", 5),
    "a fraction": ("60.5", 5),
    "other digits": ("६०", 5),
    "words": ("soon", 5),
    "an impossible date": ("Mon, 99 Nov 2026 12:03:00 GMT", 5),
    "a date with an impossible zone": ("Mon, 23 Nov 0001 00:00:00 +2359", 5),
    "empty": ("", 5),
}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("value", "wait"), RETRY_AFTER.values(), ids=RETRY_AFTER)
def test_retry_after_of_a_busy_partner_is_respected(status: int, value: str, wait: float) -> None:
    assert verdict_on(http_response(status, Retry_After=value)).wait_seconds == wait


def test_retry_after_date_is_relative_to_the_partners_clock() -> None:
    result = http_response(
        503, Retry_After="Mon, 23 Nov 2026 18:03:00 GMT", Date="Mon, 23 Nov 2026 18:00:00 GMT"
    )

    assert verdict_on(result).wait_seconds == 180


def test_retry_after_date_without_a_date_header_is_relative_to_now() -> None:
    result = http_response(503, Retry_After="Mon, 23 Nov 2020 12:03:00 GMT")

    assert verdict_on(result, now=None).wait_seconds == 5


def test_longer_of_schedule_and_retry_after_counts() -> None:
    assert verdict_on(http_response(429, Retry_After="600"), attempts=2).wait_seconds == 600
    assert verdict_on(http_response(429, Retry_After="600"), attempts=3).wait_seconds == 1800
    assert verdict_on(http_response(429, Retry_After="99999"), attempts=9).wait_seconds == 86400


def test_jitter_applies_to_retry_after_up_to_ten_hours() -> None:
    assert verdict_on(http_response(429, Retry_After="600"), jitter=1.0).wait_seconds == pytest.approx(720)
    assert verdict_on(http_response(429, Retry_After="99999"), jitter=1.0).wait_seconds == RETRY_AFTER_MAX


@pytest.mark.parametrize("status", [408, 425, 500, 502, 401, 410, 302])
def test_retry_after_of_other_replies_is_ignored(status: int) -> None:
    assert verdict_on(http_response(status, Retry_After="600")).wait_seconds == 5


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=6,
)
REPLY_FIELDS = st.sampled_from(
    [
        "response_code",
        "response_message",
        "payload",
        "resp",
        "result",
        "poConfirmation",
        "objectId",
        "errorDtl",
    ]
)
REPLIES = st.recursive(
    JSON_VALUES, lambda values: st.dictionaries(REPLY_FIELDS, values, max_size=5), max_leaves=12
)
BODIES = st.binary(max_size=200) | REPLIES.map(
    lambda value: json.dumps(value).encode("utf-8", "surrogatepass")
)
HEADER_VALUES = (
    st.text(max_size=60)
    | st.integers().map(str)
    | st.from_regex(r"\w{3}, \d{1,3} Jan \d{1,9} \d\d:\d\d:\d\d [+-]\d{1,9}", fullmatch=True)
)


@given(
    status=st.none() | st.integers(0, 999),
    failure=st.none() | st.sampled_from(Failure),
    body=BODIES,
    retry_after=HEADER_VALUES,
    date=HEADER_VALUES,
    attempts=st.integers(1, 20),
    schedule=st.lists(st.floats(1, 86_400), max_size=9),
)
def test_any_response_has_a_verdict(
    status: int | None,
    failure: Failure | None,
    body: bytes,
    retry_after: str,
    date: str,
    attempts: int,
    schedule: list[float],
) -> None:
    result = replace(
        http_response(0, body, Retry_After=retry_after, Date=date), status=status, failure=failure
    )
    verdict = verdict_on(result, attempts=attempts, schedule=schedule)

    masked_result, masked_verdict = without_secrets(result, verdict, ("a-secret",))

    assert (verdict.wait_seconds is not None) == (verdict.step is RETRY)
    assert 0 <= (verdict.wait_seconds or 0) <= 86_400
    assert masked_result.status == status
    assert masked_verdict.step is verdict.step
