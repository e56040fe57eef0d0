"""OAuth 2 client credentials: tokens fetched by the one sender, kept until shortly before they end.

The token end point is an address like any other: vetted, bounded, never redirected. Tokens stand in memory
only and in no log. Source: RFC 6749, 2.3.1, 4.4 and 5.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode

from app import clock
from app.delivery.address_policy import Network
from app.delivery.http_client import Sender, Target
from app.delivery.outcome import Failure, Outcome
from app.network.reader import Unreadable, read_json
from app.partners.masking import MASK, MIN_MASKED_LENGTH, masked, spellings

TOKEN_DEADLINE = 4.0
"""Seconds for fetching a token. Twice that is less than the margin of a message's lease."""
EARLY = timedelta(seconds=60)
"""A token is not used in its last minute, or its last tenth if that is shorter."""
UNSPECIFIED = timedelta(minutes=5)
"""How long a token is kept that came without ``expires_in``."""
LONGEST = timedelta(days=1)
KEPT_MAX = 256


@dataclass(frozen=True, slots=True)
class Grant:
    """Where a token comes from, and by what."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""
    in_body: bool = False
    allowed: tuple[Network, ...] = ()
    client_certificate: tuple[str, str] | None = None
    ca_bundle: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and until when it is used."""

    text: str = field(repr=False)
    until: datetime


@dataclass(frozen=True, slots=True)
class NoToken:
    """Why there is none: the outcome that the send itself then has, with nothing sent."""

    outcome: Outcome


class Tokens:
    """The tokens of one process, shared by its threads: each is fetched once, however many ask for it."""

    def __init__(self) -> None:
        self._kept: dict[Grant, Token] = {}
        self.begin()

    def begin(self) -> None:
        """Begin anew, after a fork: whoever was fetching is not there, and the lock may be held for ever."""
        self._lock = threading.Lock()
        self._fetching: dict[Grant, Future[Token | NoToken]] = {}

    def get(self, grant: Grant, sender: Sender) -> Token | NoToken:
        """The token for this grant, fetched if need be within `TOKEN_DEADLINE` seconds. Never raises."""
        with self._lock:
            kept = self._kept.get(grant)
            if kept is not None and clock.now() < kept.until:
                return kept
            under_way = self._fetching.get(grant)
            if under_way is None:
                mine: Future[Token | NoToken] = Future()
                self._fetching[grant] = mine
        if under_way is not None:
            try:
                return under_way.result(TOKEN_DEADLINE + 1)
            except TimeoutError:
                return _none(Failure.TIMEOUT, grant, "did not answer in time")
        return self._fetch(grant, sender, mine)

    def forget(self, grant: Grant, token: Token) -> None:
        """Use this token no more: the partner did not take it."""
        with self._lock:
            if self._kept.get(grant) is token:
                del self._kept[grant]

    def _fetch(self, grant: Grant, sender: Sender, mine: Future[Token | NoToken]) -> Token | NoToken:
        got: Token | NoToken = _none(Failure.INTERNAL, grant, "could not be asked")
        try:
            got = fetch(grant, sender)
        finally:
            with self._lock:
                self._fetching.pop(grant, None)
                if isinstance(got, Token):
                    while len(self._kept) >= KEPT_MAX:
                        self._kept.pop(next(iter(self._kept)))
                    self._kept[grant] = got
            mine.set_result(got)
        return got


tokens = Tokens()
os.register_at_fork(after_in_child=tokens.begin)


def send(
    sender: Sender, target: Target, body: bytes, headers: Mapping[str, str], grant: Grant | None
) -> Outcome:
    """POST, with the grant's token where there is one; after a 401 once more with a fresh one. Never raises.

    The second POST is left out where it could outlast the lease of a message, which is `target.deadline` and
    ten seconds.
    """
    if grant is None:
        return sender.post(target, body, headers)
    started = time.monotonic()
    token = tokens.get(grant, sender)
    if isinstance(token, NoToken):
        return token.outcome
    outcome = _without(sender.post(target, body, {**headers, **_bearer(token)}), token)
    if outcome.status != 401 or outcome.failure is not None:
        return outcome
    tokens.forget(grant, token)
    if time.monotonic() - started > TOKEN_DEADLINE:
        return outcome
    fresh = tokens.get(grant, sender)
    if isinstance(fresh, NoToken) or fresh.text == token.text:
        return outcome
    return _without(sender.post(target, body, {**headers, **_bearer(fresh)}), fresh)


def _without(outcome: Outcome, token: Token) -> Outcome:
    """The outcome without the token, which a partner may send back: only here it is known for sure."""
    if len(token.text) < MIN_MASKED_LENGTH:
        return outcome  # the answer is still to be judged: it must not be made nonsense of
    told = "\n".join([outcome.detail, *(value for _, value in outcome.headers)])
    met = [one for one in spellings(token.text) if one.encode() in outcome.body or one in told]
    return outcome.without(sorted(met, key=len, reverse=True), MASK) if met else outcome


def fetch(grant: Grant, sender: Sender) -> Token | NoToken:
    """A new token from the end point. Never raises."""
    target = Target(
        url=grant.token_url,
        allowed=grant.allowed,
        deadline=TOKEN_DEADLINE,
        client_certificate=grant.client_certificate,
        ca_bundle=grant.ca_bundle,
    )
    asked_at = clock.now()
    outcome = sender.post(target, *_request(grant))
    if outcome.failure is not None:
        # What came so far may hold the token.
        nothing: dict[str, Any] = {"headers": (), "body": b"", "body_size": None, "truncated": False}
        detail = masked(f"No token: {outcome.detail}", _secrets(grant))
        return NoToken(replace(outcome, detail=detail, sent=False, status=None, **nothing))
    answer = _answered(outcome)
    if outcome.status != 200:
        return _refused(grant, outcome, answer)
    text, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or not text:
        return _none(Failure.ODD_ANSWER, grant, "answered 200, but with no access_token", outcome)
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return _none(Failure.ODD_ANSWER, grant, "gave a token that is no bearer token", outcome)
    return Token(text, asked_at + _used_for(answer.get("expires_in")))


def _request(grant: Grant) -> tuple[bytes, dict[str, str]]:
    form = {"grant_type": "client_credentials"}
    if grant.scope:
        form["scope"] = grant.scope
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if grant.in_body:
        form |= {"client_id": grant.client_id, "client_secret": grant.client_secret}
    else:
        headers["Authorization"] = f"Basic {_pair(grant)}"
    return urlencode(form).encode(), headers


def _pair(grant: Grant) -> str:
    """Name and secret as a header carries them."""
    pair = f"{quote_plus(grant.client_id)}:{quote_plus(grant.client_secret)}"
    return base64.b64encode(pair.encode()).decode()


def _secrets(grant: Grant) -> list[str]:
    """The secret in every form in which an end point gets it, and may send it back."""
    return [grant.client_secret, quote_plus(grant.client_secret), _pair(grant)]


def _used_for(expires_in: Any) -> timedelta:
    """How long a token is used; servers give the seconds as a number or as text."""
    text = str(expires_in) if not isinstance(expires_in, bool) else ""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return UNSPECIFIED
    given = timedelta(seconds=int(text))
    return min(given - min(EARLY, given / 10), LONGEST)


def _answered(outcome: Outcome) -> dict[str, Any]:
    try:
        answer = read_json(outcome.body)
    except Unreadable:
        return {}
    return answer if isinstance(answer, dict) else {}


def _refused(grant: Grant, outcome: Outcome, answer: dict[str, Any]) -> NoToken:
    said = [answer.get(name) for name in ("error", "error_description")]
    words = ": ".join(one[:200] for one in said if isinstance(one, str) and one)
    told = f"answered {outcome.status}" + (f", {words}" if words else "")
    # What it refuses is set up wrong here; anything else is its own trouble and may pass.
    wrong = outcome.status in (400, 401, 403, 404, 405)
    return _none(Failure.BAD_TARGET if wrong else Failure.ODD_ANSWER, grant, told, outcome)


def _none(failure: Failure, grant: Grant, told: str, outcome: Outcome | None = None) -> NoToken:
    detail = masked(f"No token: {grant.token_url} {told}.", _secrets(grant))
    return NoToken(
        Outcome(
            failure=failure,
            detail=detail,
            status=None,
            headers=(),
            body=b"",
            body_size=None,
            truncated=False,
            remote_address=outcome.remote_address if outcome else None,
            duration_ms=outcome.duration_ms if outcome else 0.0,
            sent=False,
        )
    )


def _bearer(token: Token) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.text}"}
