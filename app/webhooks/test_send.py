"""A test send: a harmless sample to a partner, by the very sender that carries real answers.

Nothing of it touches the outbox. The sample is a `req-confirm` about an order that cannot exist: a partner
that works as agreed answers that it does not know the order, which shows that address and key are right.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app import clock
from app.delivery.claiming import PATH
from app.delivery.credentials import Credentials, credentials_of
from app.delivery.http_client import USER_AGENT, Sender
from app.delivery.oauth import NoToken, Token, send, tokens
from app.delivery.outcome import Outcome
from app.delivery.retry_policy import Step, judge, sentence
from app.delivery.service import new_id
from app.network.reader import dumps
from app.network.replies import PartnerReply, read_reply
from app.partners.masking import masked, secrets_of

DEADLINE_MAX = 20.0
"""Seconds: somebody sits before the page and waits."""
TEST_B2B_ID = "TEST@po-confirm"
REMARKS = "Connection test. No order is meant. Please ignore."


@dataclass(frozen=True, slots=True)
class Sample:
    """What is sent: its id, the object that it names, and its bytes."""

    id: str
    object_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Judged:
    """What a test send showed. ``works``: answers would arrive. ``known``: the key was accepted."""

    works: bool
    known: bool
    tone: str
    title: str
    words: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A test send, whole: nothing in it is secret, whatever the partner sent back."""

    url: str
    request_headers: list[list[str]]
    body: bytes
    outcome: Outcome
    response_headers: list[list[str]]
    response_body: str
    token: str
    judged: Judged
    at: datetime


def sample(now: datetime) -> Sample:
    """A `req-confirm` about an order that cannot exist, different each time."""
    message_id = new_id("test", now)
    object_id = f"PO-CONFIRM-{message_id}"
    body: dict[str, Any] = {
        "device": {"tag": {"name": "INITIATING_CHANNEL", "value": "WEB"}},
        "b2bIds": {"buyerB2BId": TEST_B2B_ID, "supplierB2BId": TEST_B2B_ID},
        "poConfirmation": {
            "objectId": object_id,
            "buyerPONumber": "TEST",
            # A rejection of nothing does less harm than a confirmation of nothing.
            "supplierResponse": "REJECT",
            "supplierRemarks": REMARKS,
            "objectVersion": {"currentVersion": 1, "newVersion": 1},
            "poStatusTransition": {"currentStatus": "CREATED", "newStatus": "REJECTED"},
        },
        "additionalInfos": [{"name": "connectionTest", "value": "true"}],
    }
    return Sample(message_id, object_id, dumps(body))


def try_out(partner: Any) -> Trial:
    """Send the sample to a partner, which need not be saved, and say what came of it. Never raises.

    It takes up to the partner's deadline, at most `DEADLINE_MAX` seconds, and twice four for a token: let no
    transaction be open.
    """
    at = clock.now()
    test = sample(at)
    credentials = credentials_of(partner, PATH + "req-confirm", at, deadline_max=DEADLINE_MAX)
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": test.id,
        "User-Agent": USER_AGENT,
        **credentials.message_headers(test.id, test.body, at),
    }
    with Sender() as sender:
        token = tokens.get(credentials.grant, sender) if credentials.grant else None
        outcome = (
            token.outcome
            if isinstance(token, NoToken)
            else send(sender, credentials.target, test.body, headers, credentials.grant)
        )
    secrets = [*secrets_of(partner), *([token.text] if isinstance(token, Token) else [])]
    return Trial(
        url=credentials.target.url,
        request_headers=[*([name, value] for name, value in headers.items()), *credentials.masked_headers()],
        body=test.body,
        outcome=outcome,
        response_headers=[[name, masked(value, secrets)] for name, value in outcome.headers],
        response_body=masked(outcome.body.decode("utf-8", "replace"), secrets),
        token=_token_words(credentials, token),
        judged=judged(outcome, test.object_id, partner.success_codes),
        at=at,
    )


def judged(outcome: Outcome, object_id: str, success_codes: Collection[int]) -> Judged:
    """What the answer to the sample shows. Pure."""
    answer = read_reply(outcome.body) if outcome.body and not outcome.truncated else None
    if outcome.failure is None and outcome.status in (401, 403):
        words = f"It answered {outcome.status}. The address is right, or at least somebody listens there."
        return Judged(False, False, "bad", "The partner does not know the key.", words)
    if outcome.failure is None and answer is not None and 200 <= (outcome.status or 0) < 500:
        return _understood(outcome, answer, success_codes)
    verdict = judge(
        outcome,
        tries=1,
        schedule=(0,),
        success_codes=success_codes,
        object_id=object_id,
        after_unknown=False,
        jitter=0,
    )
    words = sentence(verdict.reason, Step.DELIVERED, detail=outcome.detail, status=outcome.status)
    title = "The sample did not arrive." if outcome.failure else "The partner did not take the sample."
    return Judged(False, False, "bad", title, words)


def _understood(outcome: Outcome, answer: PartnerReply, success_codes: Collection[int]) -> Judged:
    if outcome.status in (408, 425, 429):
        words = f"It is busy ({outcome.status}) and says so in the network's format."
        return Judged(True, True, "warn", "The partner has the address and the key, but no time.", words)
    taken = (outcome.status or 0) < 300 and (
        answer.response_code == 0 or answer.response_code in success_codes
    )
    if taken and not answer.says_failure:
        words = f"It answered {outcome.status} in the network's format, with success."
        return Judged(True, True, "ok", "The partner took the sample.", words)
    said = (answer.error_dtl or answer.response_message).strip().rstrip(".")
    words = (
        f"It answered {outcome.status} in the network's format{f': “{said}”' if said else ''}. "
        "That it refuses the sample is right: there is no such order."
    )
    return Judged(True, True, "ok", "The partner understood the sample.", words)


def _token_words(credentials: Credentials, token: Token | NoToken | None) -> str:
    if credentials.grant is None:
        return ""
    if isinstance(token, Token):
        return f"A token came from {credentials.grant.token_url}; it is kept and used until it ends."
    return f"No token came from {credentials.grant.token_url}, so nothing was sent."
