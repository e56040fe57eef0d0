"""The only module that sends HTTP: a POST that returns every failure as a `CallResult` and never raises.

`requests` and urllib3 do HTTP. What they leave open is added here and in ``connections``: the deadline covers
the whole call, only checked addresses are connected to, what is read is bounded, and a connection on which
anything unusual was seen is closed.
"""

from __future__ import annotations

import math
import os
import re
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from app.delivery.address_policy import Network
from app.delivery.call_result import BODY_CAP, CallResult, Detail, DetailCode, Failure, SendAborted
from app.delivery.connections import CheckedPool, SecurePool, aborted, tls_context
from app.delivery.deadline import Call, Phase, watchdog
from app.network.headers import SET_BY_CLIENT

IDLE_SECONDS_MAX = 4.0
"""A connection that was idle longer is not reused: the partner may be closing it."""
POOLS_MAX = 16
"""Targets for which one sender keeps a connection."""
USER_AGENT = "po-confirm/1"

_DEFAULT_HEADERS = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json",
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"(?!\s)[\t\x20-\x7e\x80-\xff]*")
_BAD_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]+[ \t]*")


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send. Only equal targets share a connection.

    `url` is the full URL, `headers` are the partner's own, `allowed` is its allow-list of networks,
    `deadline` the seconds for the whole call. `client_certificate` is the certificate with its key and
    `ca_bundle` the trusted CA certificates, both as PEM; empty means none and the public CAs.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    allowed: tuple[Network, ...] = ()
    deadline: float = 15.0
    client_certificate: str = field(default="", repr=False)
    ca_bundle: str = field(default="", repr=False)


class Sender:
    """Sends POSTs one after another and reuses connections. For one thread; close it at the end."""

    def __init__(self) -> None:
        self._adapter = _Adapter()
        self._pools: dict[Target, tuple[CheckedPool, float]] = {}
        self._pid = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        while self._pools:
            self._pools.popitem()[1][0].close()
        self._adapter.close()

    def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> CallResult:
        """POST `body` to `target`, at most once, within `target.deadline` seconds. Never raises.

        `headers` are the message's; they win over those of the target with the same name.
        """
        started = time.perf_counter()
        call = Call(target.deadline)
        failure, detail, received = None, Detail(), b""
        try:
            watchdog.start(call)
            request = _prepared(target, body, headers)
            received = self._exchange(call, target, request)
        except SendAborted as error:
            failure, detail = error.failure, error.detail
        except Exception as error:
            failure = Failure.INTERNAL
            detail = Detail.of(DetailCode.INTERNAL_ERROR, cause=f"{type(error).__name__}: {error}")
        finally:
            watchdog.stop(call)
        if failure is None and not (call.response and (call.response.is_whole or len(received) > BODY_CAP)):
            failure, detail = _incomplete(call, received)
        if call.expired:
            # What the libraries made of the cut connection may look like a whole response.
            failure = Failure.TIMEOUT
        if failure is Failure.TIMEOUT:
            detail = call.timeout_detail()
        return _result(call, failure, detail, received, (time.perf_counter() - started) * 1000)

    def _exchange(self, call: Call, target: Target, request: requests.PreparedRequest) -> bytes:
        """Send the request and return the body that was received. Errors: SendAborted."""
        pool = self._pool(target, request.url or "")
        pool.call = call
        reusable = False
        try:
            self._adapter.pool = pool
            reply = self._adapter.send(request, stream=True, timeout=target.deadline + 1)
            response = call.response
            if response is None:
                raise RuntimeError("no connection recorded this response")
            call.phase = Phase.BODY
            body = response.read_body(BODY_CAP + 1)
            watchdog.stop(call)
            reusable = response.is_reusable and not call.expired
            if reusable:
                reply.raw.release_conn()
                self._pools[target] = pool, time.monotonic()
            else:
                reply.raw.close()
            return body
        finally:
            watchdog.stop(call)
            if not reusable:
                self._pools.pop(target, None)
                pool.close()

    def _pool(self, target: Target, url: str) -> CheckedPool:
        """Return the target's pool, the most recently used last, and close those idle for too long."""
        if os.getpid() != self._pid:
            # After a fork the connections are the parent's too: both would write to the same one.
            self._pools, self._pid = {}, os.getpid()
        oldest = time.monotonic() - IDLE_SECONDS_MAX
        for idle in [key for key, (_, used_at) in self._pools.items() if used_at < oldest]:
            self._pools.pop(idle)[0].close()
        pool, _ = self._pools.pop(target, (None, 0.0))
        pool = pool or _new_pool(target, url)
        self._pools[target] = pool, time.monotonic()
        if len(self._pools) > POOLS_MAX:
            self._pools.pop(next(iter(self._pools)))[0].close()
        return pool


def _prepared(target: Target, body: bytes, headers: Mapping[str, str]) -> requests.PreparedRequest:
    """The request. Errors: SendAborted if URL, headers or deadline cannot be used."""
    template = _template(target)
    request = requests.PreparedRequest()
    request.method, request.url = template.method, template.url
    request.headers = template.headers.copy()
    request.headers.update(_checked(headers.items()))
    request.prepare_body(body, None)
    return request


@lru_cache(maxsize=256)
def _template(target: Target) -> requests.PreparedRequest:
    """The request without its body and the message's headers.

    It is prepared once per target, since `requests` takes as long for it as for sending. Errors: SendAborted.
    """
    if not 0 < target.deadline < math.inf:
        raise SendAborted(Failure.BAD_TARGET, DetailCode.DEADLINE_INVALID, seconds=str(target.deadline))
    _check_url(target.url)
    headers = requests.structures.CaseInsensitiveDict(_DEFAULT_HEADERS)
    headers.update(_checked(target.headers))
    try:
        return requests.Request("POST", target.url, headers=headers).prepare()
    except (ValueError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise SendAborted(Failure.BAD_TARGET, DetailCode.URL_INVALID, cause=str(error)) from None


def _new_pool(target: Target, url: str) -> CheckedPool:
    parts = urlsplit(url)
    if parts.scheme == "http":
        return CheckedPool(parts.hostname or "", parts.port or 80, allowed=target.allowed)
    context = tls_context(target.ca_bundle, target.client_certificate)
    return SecurePool(parts.hostname or "", parts.port or 443, allowed=target.allowed, ssl_context=context)


def _check_url(url: str) -> None:
    """Errors: SendAborted if the URL is not plain http(s)://host[:port]/path."""
    try:
        parts = urlsplit("" if _BAD_IN_URL.search(url) else url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise SendAborted(Failure.BAD_TARGET, DetailCode.URL_INCOMPLETE)
    except ValueError as error:
        raise SendAborted(Failure.BAD_TARGET, DetailCode.URL_INVALID, cause=str(error)) from None
    if "@" in parts.netloc:
        raise SendAborted(Failure.BAD_TARGET, DetailCode.URL_WITH_USER)
    if "%" in parts.netloc:
        raise SendAborted(Failure.BAD_TARGET, DetailCode.URL_WITH_ZONE)


def _checked(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers. Errors: SendAborted if one cannot be sent as it is."""
    checked = list(headers)
    for name, value in checked:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise SendAborted(Failure.BAD_TARGET, DetailCode.HEADER_CHARACTERS, name=f"{name!r:.60}")
        if name.lower() in SET_BY_CLIENT:
            raise SendAborted(Failure.BAD_TARGET, DetailCode.HEADER_RESERVED, name=name)
    return checked


def _incomplete(call: Call, received: bytes) -> tuple[Failure, Detail]:
    """The failure of a response whose body did not end where it should."""
    error = call.response.stream.error if call.response else None
    if error is not None:
        failure = aborted(error, call)
        return failure.failure, failure.detail
    return Failure.MALFORMED_RESPONSE, Detail.of(DetailCode.BODY_CUT, bytes=len(received))


def _result(
    call: Call, failure: Failure | None, detail: Detail, received: bytes, duration_ms: float
) -> CallResult:
    response = call.response if call.response and call.response.headers is not None else None
    body, size, truncated = received, len(received) if response else None, len(received) > BODY_CAP
    if response and (truncated or failure):
        size = response.declared
    if response and response.headers.get("content-encoding", "").strip().lower() in _ENCODINGS:
        body, size, truncated = _decompressed(received, truncated)
    return CallResult(
        failure=failure,
        detail=detail,
        status=response.status if response else None,
        headers=tuple(
            (name, _CONTROL.sub(" ", str(value)).strip()) for name, value in response.headers.items()
        )
        if response
        else (),
        body=body[:BODY_CAP],
        body_size=size,
        truncated=truncated,
        remote_address=call.remote_address,
        duration_ms=duration_ms,
        sent=call.sent,
    )


_ENCODINGS = ("gzip", "x-gzip", "deflate")
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def _decompressed(data: bytes, truncated: bool) -> tuple[bytes, int | None, bool]:
    """At most `BODY_CAP` + 1 bytes of a body that was compressed although `identity` was requested."""
    decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        body = decoder.decompress(data, BODY_CAP + 1)
    except zlib.error:
        return data, len(data), truncated
    truncated = truncated or len(body) > BODY_CAP
    return body, None if truncated else len(body), truncated


class _Adapter(HTTPAdapter):
    """Sends every request over the pool of the current target.

    It is used without a `requests.Session`, so nothing is read from the environment, no cookie is stored and
    no redirect is followed.
    """

    pool: CheckedPool | None = None

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> CheckedPool:
        """The pool that the sender chose."""
        if self.pool is None:
            raise RuntimeError("a request is sent outside of a call")
        return self.pool

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Do nothing: the pool's TLS context always verifies."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Only the raw response: the sender reads it, and cookies are neither kept nor parsed."""
        response = requests.Response()
        response.raw = resp
        return response
