"""The one place that sends HTTP: a POST whose every failure is a value, never an exception.

What `requests` alone leaves open is closed here and in ``wire``: the deadline covers the whole call, the
address that was vetted is the one that is connected to, an answer must end where it says, and a connection
on which anything odd was seen is not used again. Source of the HTTP rules: RFC 9110 and RFC 9112.
"""

from __future__ import annotations

import math
import os
import re
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import SplitResult, urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from app.delivery.address_policy import Network
from app.delivery.wire.answer import Answer
from app.delivery.wire.call import Call, Phase, watchdog
from app.delivery.wire.line import Line, line_to, tls_words
from app.delivery.wire.outcome import BODY_CAP, OUR_SHORTAGES, Failure, Outcome, Stop

IDLE_SECONDS = 4.0
"""A connection that was idle longer is not used again: the partner may be closing it just now."""
PARTNERS_KEPT = 16
"""Targets that one sender keeps prepared, each with at most one connection."""
USER_AGENT = "po-confirm/1"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send: equal targets share prepared requests and connections, different ones nothing.

    `url` is the full URL, `headers` are the partner's own, `allowed` is its allow-list of networks,
    `deadline` the seconds for the whole call. `client_certificate` is (certificate file, key file),
    `ca_bundle` a file or folder. A renewed certificate needs a new file name.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    allowed: tuple[Network, ...] = ()
    deadline: float = 15.0
    client_certificate: tuple[str, str] | None = None
    ca_bundle: str | None = None


class Sender:
    """Sends POSTs one after another and keeps connections between them. For one thread; to be closed."""

    def __init__(self) -> None:
        self._transport = _Transport()
        self._session = _Session(self._transport)
        self._wires: dict[Target, _Wire] = {}
        self._pid = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        while self._wires:
            self._wires.popitem()[1].hang_up()
        self._session.close()

    def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """POST `body` to `target`, at most once, within `target.deadline` seconds. Never raises.

        `headers` are the message's; they win over those of the target with the same name.
        """
        started = time.perf_counter()
        call = Call(target.deadline)
        failure, detail = None, ""
        try:
            wire = self._wire(target)
            self._exchange(call, wire, wire.request(headers, body))
        except Stop as stop:
            failure, detail = stop.failure, stop.detail
        except Exception as error:
            failure, detail = audit_fields(error, call)
        if call.watch.fired:
            # What the libraries made of the cut connection may look like a whole answer.
            failure = Failure.TIMEOUT
        if failure is Failure.TIMEOUT:
            detail = call.late()
        elif failure is not None:
            detail = _as_kept(detail)
        return _outcome(call, failure, detail, (time.perf_counter() - started) * 1000)

    def _wire(self, target: Target) -> _Wire:
        """The prepared target, with whatever has been idle too long hung up."""
        if os.getpid() != self._pid:
            # After a fork the connections are the parent's as well: two would talk over one.
            self._wires, self._pid = {}, os.getpid()
        now = time.monotonic()
        for wire in self._wires.values():  # the longest unused comes first
            if now - wire.used_at < IDLE_SECONDS:
                break
            wire.hang_up()
        found = self._wires.pop(target, None) or _Wire(target)
        self._wires[target] = found
        if len(self._wires) > PARTNERS_KEPT:
            self._wires.pop(next(iter(self._wires))).hang_up()
        return found

    def _exchange(self, call: Call, wire: _Wire, request: requests.PreparedRequest) -> None:
        whole = False
        watchdog.arm(call.watch)
        try:
            answer = self._transport.carry(self._session, request, call, wire)
            call.phase = Phase.BODY
            if not 200 <= answer.status < 600:
                raise Stop(Failure.ODD_ANSWER, f"The partner answered {answer.status}, which is no answer.")
            answer.read(BODY_CAP + 1)
            whole = answer.ended and not answer.ends_connection
        finally:
            watchdog.disarm(call.watch)
            wire.settle(keep=whole and not call.watch.fired)


def _outcome(call: Call, failure: Failure | None, detail: str, duration_ms: float) -> Outcome:
    answer = call.answer
    received = bytes(answer.received) if answer else b""
    truncated = len(received) > BODY_CAP
    size = None
    if answer:
        size = answer.declared if truncated or failure else len(received)
    return Outcome(
        failure=failure,
        detail=detail,
        status=answer.status if answer else None,
        headers=tuple(answer.fields) if answer else (),
        body=received[:BODY_CAP] if truncated else received,
        body_size=size,
        truncated=truncated,
        remote_address=call.remote,
        duration_ms=duration_ms,
        sent=call.sent,
    )


def _as_kept(detail: str) -> str:
    """Words that every database keeps: what libraries say may quote anything."""
    return detail.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def audit_fields(error: Exception, call: Call) -> tuple[Failure, str]:
    """The failure behind an exception, and a sentence about it."""
    if not isinstance(error, OSError):
        return Failure.INTERNAL, f"Sending failed inside this app: {type(error).__name__}: {error}."
    words = error.strerror or str(error) or type(error).__name__
    if isinstance(error, TimeoutError | BlockingIOError):
        return Failure.TIMEOUT, ""
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLSyscallError):
        return Failure.TLS, f"The secure connection failed: {tls_words(error)}."
    if error.errno in OUR_SHORTAGES:
        return Failure.INTERNAL, f"This machine is short of something: {words}."
    if call.sent:
        return Failure.RESET, f"The partner broke off the connection: {words}."
    return Failure.CONNECT, f"The connection failed: {words}."


# --- Requests

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_BAD_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")
_OURS_ALONE = {
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


class _Wire:
    """A target, prepared: the request but for body and message headers, and the connection."""

    def __init__(self, target: Target) -> None:
        if not 0 < target.deadline < math.inf:
            raise Stop(Failure.BAD_TARGET, f"The deadline of {target.deadline} s makes no sense.")
        self._template = _prepared(target.url)
        self._target = target
        self._headers = _checked(target.headers)
        parts = urlsplit(self._template.url or "")
        self._scheme, self._host = parts.scheme, parts.hostname or ""
        self._port = parts.port or (80 if parts.scheme == "http" else 443)
        self._begin = f"POST {self._template.path_url} HTTP/1.1\r\nHost: {_host_field(parts)}\r\n"
        # Only a second line of defence behind the watchdog, so a little later.
        self._timeout = target.deadline + 1
        self.used_at = 0.0
        self._line: Line | None = None

    def request(self, headers: Mapping[str, str], body: bytes) -> requests.PreparedRequest:
        """The whole request."""
        given = {**_DEFAULTS, **self._headers, **_checked(headers.items())}
        fields = dict(given.values())
        fields["Accept-Encoding"] = "identity"
        fields["Content-Length"] = str(len(body))
        request = requests.PreparedRequest()
        request.method, request.url = self._template.method, self._template.url
        # A plain dict does: names were made unique without regard to case above.
        request.headers = cast(CaseInsensitiveDict[str], fields)
        request.body = body
        return request

    def exchange(self, call: Call, request: requests.PreparedRequest) -> Answer:
        """Send it, over the kept connection if that stands, and read the answer's head.

        Errors: Stop, OSError.
        """
        fields = "".join([f"{name}: {value}\r\n" for name, value in request.headers.items()])
        head = f"{self._begin}{fields}\r\n".encode("latin-1")
        return self._ready_line(call).post(call, head + cast(bytes, request.body))

    def settle(self, *, keep: bool) -> None:
        """After a call: keep the connection only if all of a whole answer was read from it."""
        self.used_at = time.monotonic()
        if not keep:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the connection; the next request makes a new one."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _ready_line(self, call: Call) -> Line:
        if self._line is not None:
            # In this order: over TLS a look goes on for as long as the partner sends what is not data.
            self._line.use(call)
            if self._line.is_usable:
                return self._line
            call.lets_go()
            self.hang_up()
        target = self._target
        self._line = line_to(
            self._scheme,
            self._host,
            self._port,
            target.allowed,
            ca_bundle=target.ca_bundle or DEFAULT_CA_BUNDLE_PATH,
            certificate=target.client_certificate,
        )
        self._line.open(call, self._timeout)
        return self._line


def _host_field(parts: SplitResult) -> str:
    """The host as the request names it (RFC 9110, 7.2): the port only if it is not the scheme's own."""
    host = (parts.hostname or "").rstrip(".")
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"


def _prepared(url: str) -> requests.PreparedRequest:
    """A request to the URL. Stops the call if the URL is not plain http(s)://host[:port]/…"""
    try:
        parts = urlsplit("" if _BAD_IN_URL.search(url) else url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise Stop(Failure.BAD_TARGET, "The address is not of the form https://host/path.")
        if "@" in parts.netloc:
            raise Stop(Failure.BAD_TARGET, "The address contains a user name or password.")
        if "%" in parts.netloc:
            raise Stop(Failure.BAD_TARGET, "The host in the address contains a %, as of a zone id.")
        prepared = requests.PreparedRequest()
        prepared.method = "POST"
        prepared.prepare_url(url, None)
    except (ValueError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Stop(Failure.BAD_TARGET, f"The address cannot be used: {error}.") from None
    return prepared


def _checked(headers: Iterable[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Headers by their lower-case name. Stops the call if one cannot be sent as it is."""
    checked = {}
    for name, value in headers:
        key = name.lower()
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise Stop(Failure.BAD_TARGET, f"The header {name!r:.60} has characters that cannot be sent.")
        if key in _OURS_ALONE:
            raise Stop(Failure.BAD_TARGET, f"The header {name} cannot be set.")
        checked[key] = (name, value)
    return checked


_DEFAULTS = _checked(
    [("User-Agent", USER_AGENT), ("Accept", "application/json"), ("Content-Type", "application/json")]
)


class _NoCookies(RequestsCookieJar):
    """Keeps none: a partner's cookie must not travel with another message."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Do nothing."""


class _Transport(BaseAdapter):
    """Carries a request of `requests` over the target's own connection; one call at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._under_way: tuple[Call, _Wire] | None = None

    def carry(
        self, session: requests.Session, request: requests.PreparedRequest, call: Call, wire: _Wire
    ) -> Answer:
        """Let the session send the request by this call. Errors: Stop, OSError."""
        self._under_way = call, wire
        try:
            response = session.send(
                request, stream=True, verify=True, cert=None, proxies={}, allow_redirects=False
            )
        finally:
            self._under_way = None
        return cast(Answer, response.raw)

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """The response with no more than its status; head and body are the answer in ``raw``."""
        if self._under_way is None:
            raise RuntimeError("a request is sent outside of a call")
        call, wire = self._under_way
        answer = wire.exchange(call, request)
        response = requests.Response()
        response.status_code, response.raw, response.request = answer.status, answer, request
        return response

    def close(self) -> None:
        """Nothing to do: connections are the targets'."""


class _Session(requests.Session):
    """Takes nothing from the environment and follows no redirect."""

    def __init__(self, transport: _Transport) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies = _NoCookies()
        self.adapters.clear()
        self.mount("https://", transport)
        self.mount("http://", transport)

    def get_redirect_target(self, resp: Any) -> None:
        """None: else requests reads the body of a redirect, even of one that it must not follow."""
