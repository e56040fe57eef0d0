"""A test send: a harmless sample to a partner, sent exactly as webhooks are.

It creates no webhook. The sample is a ``req-confirm`` about an order that cannot exist: a partner that works
as agreed replies that it does not know the order, which shows that the URL and the key are right.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from app import clock
from app.db import new_id
from app.delivery.call_result import CallResult, Detail
from app.delivery.credentials import credentials_of
from app.delivery.http_client import Sender
from app.delivery.oauth import NoToken, Token, send, tokens
from app.delivery.retry_policy import Reason, Step, judge
from app.network.paths import API_PATH
from app.network.replies import read_reply
from app.network.vocabulary import Kind, Status, SupplierResponse
from app.orders.models import PurchaseOrder
from app.orders.req_confirm import DecisionInput, req_confirm
from app.partners.masking import masked

DEADLINE_MAX = 20.0
"""Seconds: a user waits for the page."""
TEST_B2B_ID = "TEST@po-confirm"
REMARKS = "Connection test. This is not an order. Please ignore."


@dataclass(frozen=True, slots=True)
class Sample:
    """The message: its id, its objectId and its bytes."""

    id: str
    object_id: str
    body: bytes


class SampleResult(StrEnum):
    """What a test send showed."""

    ACCEPTED = "accepted"
    UNDERSTOOD = "understood"
    BUSY = "busy"
    KEY_REJECTED = "key_rejected"
    NOT_ACCEPTED = "not_accepted"
    NOT_DELIVERED = "not_delivered"


@dataclass(frozen=True, slots=True)
class Judgment:
    """The result of a test send. ``reply_text`` is the partner's, ``reason`` as for a webhook."""

    result: SampleResult
    status: int | None
    reply_text: str = ""
    reason: Reason | None = None
    detail: Detail = field(default_factory=Detail)

    @property
    def works(self) -> bool:
        """Whether webhooks would be delivered."""
        return self.result in (SampleResult.ACCEPTED, SampleResult.UNDERSTOOD, SampleResult.BUSY)


@dataclass(frozen=True, slots=True)
class SampleSend:
    """A test send, with its exchange. Secrets are masked, also where the partner sent them back."""

    url: str
    request_headers: list[list[str]]
    body: bytes
    call_result: CallResult
    token_url: str
    token_failed: bool
    judgment: Judgment


def sample(now: datetime) -> Sample:
    """A ``req-confirm`` about an order that cannot exist, different each time."""
    message_id = new_id("test", now)
    object_id = f"PO-CONFIRM-{message_id}"
    order = PurchaseOrder(
        object_id=object_id,
        buyer_po_number="TEST",
        buyer_b2b_id=TEST_B2B_ID,
        supplier_b2b_id=TEST_B2B_ID,
        version=1,
        status=Status.CREATED,
    )
    # A rejection of nothing does less harm than a confirmation of nothing.
    infos = (("connectionTest", "true"),)
    data = DecisionInput(SupplierResponse.REJECT, REMARKS, infos=infos)
    return Sample(message_id, object_id, req_confirm(order, data))


def send_sample(partner: Any) -> SampleSend:
    """Send the sample to a partner, saved or not, and return the whole exchange. Never raises.

    It takes up to the partner's timeout, at most ``DEADLINE_MAX`` seconds, and up to eight for a token: let
    no transaction be open.
    """
    at = clock.now()
    message = sample(at)
    credentials = credentials_of(partner, API_PATH + Kind.REQ_CONFIRM, at, deadline_max=DEADLINE_MAX)
    headers = credentials.message_headers(message.id, message.body, at)
    with Sender() as sender:
        token = tokens.get(credentials.grant, sender) if credentials.grant else None
        call_result = (
            token.call_result
            if isinstance(token, NoToken)
            else send(sender, credentials.target, message.body, headers, credentials.grant)
        )
    secrets = (*credentials.secrets, *([token.text] if isinstance(token, Token) else []))
    call_result = call_result.masked(secrets)
    judgment = judge_sample(call_result, message.object_id, partner.success_codes)
    return SampleSend(
        url=credentials.target.url,
        request_headers=credentials.logged_headers(headers),
        body=message.body,
        call_result=call_result,
        token_url=credentials.grant.token_url if credentials.grant else "",
        token_failed=isinstance(token, NoToken),
        # Its text was decoded from the body, which may spell a secret differently.
        judgment=replace(judgment, reply_text=masked(judgment.reply_text, secrets)),
    )


def judge_sample(call_result: CallResult, object_id: str, success_codes: Collection[int]) -> Judgment:
    """What the response to the sample shows. Pure.

    A refusal is as good as an acceptance: it shows that the partner read the message.
    """
    verdict = judge(
        call_result,
        attempts=1,
        schedule=(0,),
        success_codes=success_codes,
        object_id=object_id,
        after_unknown=False,
        jitter=0,
    )
    status = call_result.status
    if call_result.failure is not None:
        return Judgment(SampleResult.NOT_DELIVERED, status, reason=verdict.reason, detail=call_result.detail)
    if status in (401, 403):
        return Judgment(SampleResult.KEY_REJECTED, status)
    if verdict.step is Step.DELIVERED and verdict.reason is Reason.DELIVERED:
        return Judgment(SampleResult.ACCEPTED, status)
    reply = read_reply(call_result.body) if call_result.body and not call_result.truncated else None
    # A 404 with a reply says that the order is unknown, not the path.
    if reply is not None and (verdict.step in (Step.DELIVERED, Step.REFUSED) or status == 404):
        text = (reply.error_dtl or reply.response_message).strip().rstrip(".")
        return Judgment(SampleResult.UNDERSTOOD, status, reply_text=text)
    if reply is not None and verdict.reason in (Reason.BUSY, Reason.RATE_LIMITED):
        return Judgment(SampleResult.BUSY, status)
    return Judgment(SampleResult.NOT_ACCEPTED, status, reason=verdict.reason, detail=call_result.detail)
