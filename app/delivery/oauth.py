"""OAuth 2 client credentials. Authlib builds the token request; the HTTP client sends it.

So the same address policy, deadline and size limits apply to the token endpoint. Tokens are cached in memory
until shortly before they expire and are never logged. Source: RFC 6749, 2.3.1, 4.4 and 5.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.parameters import prepare_token_request  # type: ignore[import-untyped]

from app import clock
from app.delivery.address_policy import Network
from app.delivery.call_result import CallResult, Detail, DetailCode, Failure
from app.delivery.http_client import Sender, Target
from app.network.replies import read_object
from app.partners.masking import masked, oauth_secrets

TOKEN_DEADLINE = 4.0
"""Seconds for a token request. Twice that is less than the margin of a lease."""
MARGIN_MAX = timedelta(seconds=60)
"""A token is not used in its last minute, or in its last tenth if that is shorter."""
UNSPECIFIED = timedelta(minutes=5)
"""How long a token without ``expires_in`` is used."""
LIFETIME_MAX = timedelta(days=1)
CACHE_MAX = 256


@dataclass(frozen=True, slots=True)
class Grant:
    """The token endpoint and the client credentials."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""
    in_body: bool = False
    allowed: tuple[Network, ...] = ()
    client_certificate: str = field(default="", repr=False)
    ca_bundle: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and until when it is used."""

    text: str = field(repr=False)
    until: datetime


@dataclass(frozen=True, slots=True)
class NoToken:
    """No token: the result of the call, which was not made."""

    call_result: CallResult


class Tokens:
    """The token cache of one process. Threads that need the same token wait for one request."""

    def __init__(self) -> None:
        self._cache: dict[Grant, Token] = {}
        self.begin()

    def begin(self) -> None:
        """Start over after a fork: requests in progress are gone, and the lock may be held forever."""
        self._lock = threading.Lock()
        self._fetching: dict[Grant, Future[Token | NoToken]] = {}

    def get(self, grant: Grant, sender: Sender) -> Token | NoToken:
        """The token, requested within `TOKEN_DEADLINE` seconds if needed. Never raises."""
        with self._lock:
            cached = self._cache.get(grant)
            if cached is not None and clock.now() < cached.until:
                return cached
            running = self._fetching.get(grant)
            if running is None:
                future: Future[Token | NoToken] = Future()
                self._fetching[grant] = future
        if running is not None:
            try:
                return running.result(TOKEN_DEADLINE + 1)
            except TimeoutError:
                return _no_token(Failure.TIMEOUT, grant, DetailCode.OAUTH_TIMEOUT)
        return self._fetch(grant, sender, future)

    def forget(self, grant: Grant, token: Token) -> None:
        """Remove this token, which the partner rejected."""
        with self._lock:
            if self._cache.get(grant) is token:
                del self._cache[grant]

    def _fetch(self, grant: Grant, sender: Sender, future: Future[Token | NoToken]) -> Token | NoToken:
        token: Token | NoToken = _no_token(Failure.INTERNAL, grant, DetailCode.OAUTH_UNREACHABLE)
        try:
            token = fetch(grant, sender)
        finally:
            with self._lock:
                self._fetching.pop(grant, None)
                if isinstance(token, Token):
                    while len(self._cache) >= CACHE_MAX:
                        self._cache.pop(next(iter(self._cache)))
                    self._cache[grant] = token
            future.set_result(token)
        return token


tokens = Tokens()
os.register_at_fork(after_in_child=tokens.begin)


def send(
    sender: Sender, target: Target, body: bytes, headers: Mapping[str, str], grant: Grant | None
) -> CallResult:
    """POST, with a token if there is a grant; after a 401 again with a fresh token. Never raises.

    The second POST is left out where it could outlast the lease of a message, which is `target.deadline` and
    ten seconds.
    """
    if grant is None:
        return sender.post(target, body, headers)
    started = time.monotonic()
    token = tokens.get(grant, sender)
    if isinstance(token, NoToken):
        return token.call_result
    result = sender.post(target, body, {**headers, **_bearer(token)}).masked((token.text,))
    if result.status != 401 or result.failure is not None:
        return result
    tokens.forget(grant, token)
    if time.monotonic() - started > TOKEN_DEADLINE:
        return result
    fresh = tokens.get(grant, sender)
    if isinstance(fresh, NoToken) or fresh.text == token.text:
        return result
    return sender.post(target, body, {**headers, **_bearer(fresh)}).masked((fresh.text,))


def fetch(grant: Grant, sender: Sender) -> Token | NoToken:
    """Request a new token from the endpoint. Never raises."""
    target = Target(
        url=grant.token_url,
        allowed=grant.allowed,
        deadline=TOKEN_DEADLINE,
        client_certificate=grant.client_certificate,
        ca_bundle=grant.ca_bundle,
    )
    requested_at = clock.now()
    result = sender.post(target, *_request(grant))
    if result.failure is not None:
        # A partial response may contain the token.
        nothing: dict[str, Any] = {"headers": (), "body": b"", "body_size": None, "truncated": False}
        detail = Detail(result.detail.code, {**result.detail.params, "for_token": True})
        return NoToken(replace(result, detail=_masked(detail, grant), sent=False, status=None, **nothing))
    response = read_object(result.body)
    if result.status != 200:
        return _refused(grant, result, response)
    text, kind = response.get("access_token"), response.get("token_type")
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or not text:
        return _no_token(Failure.MALFORMED_RESPONSE, grant, DetailCode.OAUTH_MISSING, result)
    # Some servers say "BearerToken", and some nothing.
    if isinstance(kind, str) and kind and not kind.lower().startswith("bearer"):
        return _no_token(Failure.MALFORMED_RESPONSE, grant, DetailCode.OAUTH_NOT_BEARER, result)
    return Token(text, requested_at + _used_for(response.get("expires_in")))


def _request(grant: Grant) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of the token request."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    form = prepare_token_request("client_credentials", **({"scope": grant.scope} if grant.scope else {}))
    method = "client_secret_post" if grant.in_body else "client_secret_basic"
    # In the header both are form-encoded first; in the body Authlib encodes them.
    encode = str if grant.in_body else quote_plus
    client = ClientAuth(encode(grant.client_id), encode(grant.client_secret), method)
    _, headers, form = client.prepare("POST", grant.token_url, headers, form)
    return form.encode(), headers


def _masked(detail: Detail, grant: Grant) -> Detail:
    secrets = oauth_secrets(grant.client_id, grant.client_secret)
    return detail.masked(lambda text: masked(text, secrets))


def _used_for(expires_in: Any) -> timedelta:
    """How long a token is used. Servers send the seconds as a number or as text."""
    text = str(expires_in) if not isinstance(expires_in, bool) else ""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return UNSPECIFIED
    lifetime = timedelta(seconds=int(text))
    return min(lifetime - min(MARGIN_MAX, lifetime / 10), LIFETIME_MAX)


def _refused(grant: Grant, result: CallResult, response: dict[str, Any]) -> NoToken:
    errors = [response.get(name) for name in ("error", "error_description")]
    error_text = ": ".join(text[:200] for text in errors if isinstance(text, str) and text)
    # A refusal means wrong settings here; anything else is temporary.
    wrong = result.status in (400, 401, 403, 404, 405)
    failure = Failure.BAD_TARGET if wrong else Failure.MALFORMED_RESPONSE
    code = DetailCode.OAUTH_ERROR if error_text else DetailCode.OAUTH_REFUSED
    return _no_token(failure, grant, code, result, status=result.status, error=error_text)


def _no_token(
    failure: Failure, grant: Grant, code: DetailCode, result: CallResult | None = None, **params: Any
) -> NoToken:
    detail = Detail.of(code, url=grant.token_url, **params)
    return NoToken(
        CallResult(
            failure=failure,
            detail=_masked(detail, grant),
            status=None,
            headers=(),
            body=b"",
            body_size=None,
            truncated=False,
            remote_address=result.remote_address if result else None,
            duration_ms=result.duration_ms if result else 0.0,
            sent=False,
        )
    )


def _bearer(token: Token) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.text}"}
