"""The one place that sends HTTP: a POST whose every failure is a value, never an exception.

What `requests` alone leaves open is closed here: the deadline covers the whole call, the address that was
vetted is the one that is connected to, an answer must end where it says, and a connection on which anything
odd was seen is not used again. Source of the HTTP rules: RFC 9110 and RFC 9112.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import math
import os
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection

from app.outbox.addresses import Network, may_connect, plain_address

BODY_CAP = 256 * 1024
"""Of an answer's body, at most this many bytes are read."""
HEAD_CAP = 64 * 1024
"""Bytes of an answer's status lines and headers, those of 100s included."""
HEADERS_MAX = 100
IDLE_SECONDS = 4.0
"""A connection that was idle longer is not used again: the partner may be closing it just now."""
PARTNERS_KEPT = 16
"""Targets that one sender keeps prepared, each with at most one connection."""
LOOKUPS_MAX = 64
"""Names that are looked up at once, over all senders."""
USER_AGENT = "po-confirm/1"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send: equal targets share prepared requests and connections, different ones nothing.

    `url` is the full URL, `headers` are the partner's own, `allowed` is its allow-list of networks,
    `deadline` the seconds for the whole call. `client_certificate` is (certificate file, key file),
    `ca_bundle` a file or folder. A renewed certificate needs a new file name.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    allowed: tuple[Network, ...] = ()
    deadline: float = 15.0
    client_certificate: tuple[str, str] | None = None
    ca_bundle: str | None = None


class Failure(StrEnum):
    """Why there is no proper answer."""

    TIMEOUT = "timeout"
    NAME = "name"
    ADDRESS = "address"
    CONNECT = "connect"
    TLS = "tls"
    RESET = "reset"
    ODD_ANSWER = "odd_answer"
    BAD_TARGET = "bad_target"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one POST.

    `failure` is None only if a whole answer came, or as much of it as is read. `detail` is one sentence,
    empty without failure. `body` holds at most `BODY_CAP` bytes, `truncated` says that there was more,
    `body_size` is the length in bytes where it is known: read, or declared where not all was read.
    `remote_address` is "ip:port". `sent` is False only if no byte of the request can have reached
    the partner.
    """

    failure: Failure | None
    detail: str
    status: int | None
    headers: tuple[tuple[str, str], ...]
    body: bytes
    body_size: int | None
    truncated: bool
    remote_address: str | None
    duration_ms: float
    sent: bool

    def header(self, name: str) -> str:
        """The first header of this name in whatever case, empty if there is none."""
        wanted = name.lower()
        return next((value for given, value in self.headers if given.lower() == wanted), "")


class Sender:
    """Sends POSTs one after another and keeps connections between them. For one thread; to be closed."""

    def __init__(self) -> None:
        self._slot = _Slot()
        self._session = _Session(self._slot)
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
            self._wires.popitem()[1].pool.close()
        self._session.close()

    def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """POST `body` to `target`, at most once, within `target.deadline` seconds. Never raises.

        `headers` are the message's; they win over those of the target with the same name.
        """
        started = time.perf_counter()
        call = _Call(target.deadline)
        failure, detail = None, ""
        try:
            wire = self._wire(target)
            self._exchange(call, wire, wire.request(headers, body))
        except _Stop as stop:
            failure, detail = stop.failure, stop.detail
        except Exception as error:
            failure, detail = _told(error, call)
        if call.watch.fired:
            # What the libraries made of the cut connection may look like a whole answer.
            failure = Failure.TIMEOUT
        if failure is Failure.TIMEOUT:
            detail = call.late()
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
        found = self._wires.pop(target, None) or _Wire(target, self._slot)
        self._wires[target] = found
        if len(self._wires) > PARTNERS_KEPT:
            self._wires.pop(next(iter(self._wires))).pool.close()
        return found

    def _exchange(self, call: _Call, wire: _Wire, request: requests.PreparedRequest) -> None:
        self._slot.call, self._slot.wire = call, wire
        whole = False
        watchdog = _watchdog
        watchdog.arm(call.watch)
        try:
            response = self._session.send(
                request,
                stream=True,
                timeout=wire.timeout,
                verify=True,
                cert=None,
                proxies={},
                allow_redirects=False,
            )
            call.answer = answer = cast(_Answer, response.raw._original_response)
            call.phase = _Phase.BODY
            if not 200 <= answer.status < 600:
                raise _Stop(Failure.ODD_ANSWER, f"The partner answered {answer.status}, which is no answer.")
            response.raw.read(BODY_CAP + 1, decode_content=False)
            whole = answer.isclosed()
        finally:
            watchdog.disarm(call.watch)
            self._slot.call = None
            wire.settle(call, whole=whole and not call.watch.fired)


class _Stop(Exception):
    """Ends a call with a failure; passes through the libraries as it is."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(failure, detail)
        self.failure = failure
        self.detail = detail


class _Phase(StrEnum):
    """How far a call got, as it is told when time ran out."""

    NAME = "The name of {host} could not be looked up"
    CONNECT = "No connection to {host} could be made"
    TLS = "No secure connection to {host} could be made"
    ANSWER = "No answer came"
    BODY = "The answer was not complete"


class _Call:
    """One POST under way."""

    __slots__ = ("answer", "deadline", "host", "line", "phase", "remote", "sent", "watch")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.watch = _Watch(time.monotonic() + deadline)
        self.phase = _Phase.NAME
        self.host = ""
        self.line: _Line | None = None
        self.answer: _Answer | None = None
        self.remote: str | None = None
        self.sent = False

    def left(self) -> float:
        """Seconds until the deadline. Stops the call if there are none."""
        left = self.watch.due - time.monotonic()
        if left <= 0 or self.watch.fired:
            raise _Stop(Failure.TIMEOUT, "")
        return left

    def holds(self, line: _Line, lifeline: socket.socket) -> None:
        """From now on the deadline cuts this connection."""
        self.line, self.remote = line, line.remote
        self.watch.lifeline = lifeline
        if self.watch.fired:  # before it knew what to cut
            raise _Stop(Failure.TIMEOUT, "")

    def late(self) -> str:
        """How far it got until the deadline, as a sentence."""
        return f"{self.phase.format(host=self.host)} within {self.deadline:g} s."


def _outcome(call: _Call, failure: Failure | None, detail: str, duration_ms: float) -> Outcome:
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


def _told(error: Exception, call: _Call) -> tuple[Failure, str]:
    """The failure behind an exception, and a sentence about it."""
    cause = _cause(error)
    if isinstance(cause, OSError):
        return _told_of_system(cause, call)
    told = f"{type(cause).__name__}: {cause}"
    if isinstance(cause, http.client.HTTPException | urllib3.exceptions.HTTPError):
        return Failure.ODD_ANSWER, f"The partner's answer is no proper HTTP: {told}."
    return Failure.INTERNAL, f"Sending failed inside this app: {told}."


def _told_of_system(error: OSError, call: _Call) -> tuple[Failure, str]:
    words = error.strerror or str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return Failure.TIMEOUT, ""
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLSyscallError):
        return Failure.TLS, f"The secure connection failed: {_tls_words(error)}."
    if error.errno in _OUR_SHORTAGES:
        return Failure.INTERNAL, f"This machine is short of something: {words}."
    if call.sent:
        return Failure.RESET, f"The partner broke off the connection: {words}."
    return Failure.CONNECT, f"The connection failed: {words}."


def _cause(error: BaseException) -> BaseException:
    """What the libraries wrapped: as an argument, or as the exception that theirs followed."""
    while isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError):
        wrapped = [inner for inner in error.args if isinstance(inner, BaseException)]
        inner = wrapped[0] if wrapped else error.__cause__ or error.__context__
        if inner is None:
            break
        error = inner
    return error


_OUR_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}


def _tls_words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return str(getattr(error, "strerror", None) or error or type(error).__name__).rstrip(".")


# --- The deadline: one thread that cuts what is late


class _Watch:
    """The deadline of one call: when it is due, what to cut then, and whether it was."""

    __slots__ = ("due", "fired", "lifeline")

    def __init__(self, due: float) -> None:
        self.due = due
        self.lifeline: socket.socket | None = None
        self.fired = False

    def fire(self) -> None:
        # Set before the look at the lifeline, as the call sets its lifeline before it looks here.
        self.fired = True
        if self.lifeline is not None:
            with contextlib.suppress(OSError):
                self.lifeline.shutdown(socket.SHUT_RDWR)


class _Watchdog:
    """Cuts the connections of calls that are due. Its thread starts with the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._watches: set[_Watch] = set()
        self._looks_at = math.inf
        self._thread: threading.Thread | None = None

    def arm(self, watch: _Watch) -> None:
        """Watch until `disarm`. The thread is woken only for what is due before it looks anyway."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="post-watchdog", daemon=True)
                thread.start()
                self._thread = thread
            self._watches.add(watch)
            if watch.due < self._looks_at:
                self._looks_at = watch.due
                self._news.notify()

    def disarm(self, watch: _Watch) -> None:
        """After this, the watch does not fire, and its lifeline may be closed."""
        with self._lock:
            self._watches.discard(watch)

    def _run(self) -> None:
        with self._lock:
            while True:
                now = time.monotonic()
                for watch in [watch for watch in self._watches if watch.due <= now]:
                    self._watches.discard(watch)
                    watch.fire()
                self._looks_at = min((watch.due for watch in self._watches), default=math.inf)
                self._news.wait(None if self._looks_at == math.inf else self._looks_at - now)


# --- Names: a look-up has no connection to cut, so it is left behind instead

_Place = tuple[socket.AddressFamily, tuple[str, int]]


class _Lookups:
    """Looks names up in threads of their own, one for each name however many ask for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[list[_Place]]] = {}

    def places(self, host: str, port: int, seconds: float) -> list[_Place]:
        """Every address of the host.

        Errors: OSError or UnicodeError if there is none, TimeoutError if it takes more than `seconds`.
        """
        return self._running_one(host, port).result(seconds)

    def _running_one(self, host: str, port: int) -> Future[list[_Place]]:
        key = (host, port)
        with self._lock:
            running = self._running.get(key)
            if running is None:
                if len(self._running) >= LOOKUPS_MAX:
                    raise _Stop(Failure.NAME, "Too many names are being looked up at once.")
                running = Future()
                thread = threading.Thread(
                    target=self._look_up, args=(key, running), name="post-lookup", daemon=True
                )
                thread.start()
                self._running[key] = running
        return running

    def _look_up(self, key: tuple[str, int], future: Future[list[_Place]]) -> None:
        host, port = key
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result: list[_Place] = [
                (family, (str(where[0]), int(where[1]))) for family, _, _, _, where in found
            ]
        except Exception as error:
            self._end(key)
            future.set_exception(error)
        else:
            self._end(key)
            future.set_result(result)

    def _end(self, key: tuple[str, int]) -> None:
        with self._lock:
            self._running.pop(key, None)


_watchdog = _Watchdog()
_lookups = _Lookups()


def _after_fork() -> None:
    """Threads do not survive a fork, and their locks may be held for ever."""
    global _watchdog, _lookups
    _watchdog, _lookups = _Watchdog(), _Lookups()


os.register_at_fork(after_in_child=_after_fork)


def _vetted_places(call: _Call, host: str, port: int, allowed: Sequence[Network]) -> list[_Place]:
    """The places to connect to: those addresses of the host, looked up once, that may be."""
    literal = plain_address(host)
    if literal is not None:
        family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
        places = [(family, (str(literal), port))]
    else:
        try:
            places = _lookups.places(host, port, call.left())
        except TimeoutError:
            raise _Stop(Failure.TIMEOUT, "") from None
        except (OSError, UnicodeError) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise _Stop(Failure.NAME, f"The name {host} could not be looked up: {words}.") from None
    vetted = [place for place in places if may_connect(place[1][0], allowed)]
    if not vetted:
        found = ", ".join(place[1][0] for place in places[:3]) or "no address"
        where = found if literal else f"{host} leads to {found}, which"
        raise _Stop(Failure.ADDRESS, f"{where} may not be connected to.")
    return vetted[:_PLACES_MAX]


_PLACES_MAX = 8


def _connected(call: _Call, places: Sequence[_Place]) -> tuple[socket.socket, str]:
    """A connection to the first place that accepts one within its share of the time left."""
    problem = ""
    for number, (family, where) in enumerate(places):
        left = call.left()
        name = f"[{where[0]}]:{where[1]}" if family == socket.AF_INET6 else f"{where[0]}:{where[1]}"
        call.host = name
        try:
            return _connection(family, where, left / (len(places) - number)), name
        except OSError as error:
            if error.errno in _OUR_SHORTAGES:
                raise
            problem = f"{name}: {error.strerror or error}"
    call.left()
    raise _Stop(Failure.CONNECT, f"No connection to {problem}.")


def _connection(family: socket.AddressFamily, where: tuple[str, int], seconds: float) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect(where)
    except BaseException:
        connection.close()
        raise
    return connection


# --- Answers, read strictly

_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9])[ \t]+([1-9][0-9]{2})(?:[ \t]+([^\r\n]*))?\r?\n")
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r?\n")
_FOLDED_LINE = re.compile(rb"[ \t]([\t\x20-\x7e\x80-\xff]*)\r?\n")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_CHUNK_LINE_MAX = 1024
_PIECE = 64 * 1024


class _Answer(http.client.HTTPResponse):
    """An answer whose head is bounded and whose body ends exactly where it says.

    `http.client` takes a head that breaks off for a whole one, a body that is too short or too long for a
    right one, and a chunk of size -1 for "all there is".
    """

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fields: list[tuple[str, str]] = []
        self.declared: int | None = None
        self.received = bytearray()
        self._sock = sock
        self._head_left = HEAD_CAP
        self._chunk_left = 0

    def begin(self) -> None:
        """Read status line and headers, skipping any 100s before them."""
        minor, status, reason = self._status()
        while status == 100:
            self._fields()
            minor, status, reason = self._status()
        self.version, self.status, self.reason = (10 if minor == 0 else 11), status, reason
        self.fields = self._fields()
        self.headers = self.msg = http.client.HTTPMessage()
        for name, value in self.fields:
            self.headers[name] = value
        self._frame()

    def read(self, amt: int | None = None) -> bytes:
        """Read up to `amt` bytes of the body, all of it with None; what came is in `received` as well."""
        if self.fp is None:
            return b""
        start = len(self.received)
        room = sys.maxsize if amt is None else amt
        if self.chunked:
            self._read_chunks(room)
        elif self.length is not None:
            self._read_declared(room, self.length)
        elif self._take(room) < room:
            self.close()
        return bytes(self.received[start:])

    def _status(self) -> tuple[int, int, str]:
        line = self._head_line()
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise _odd(f"it begins with {line[:40]!r}")
        return int(match[1]), int(match[2]), (match[3] or b"").decode("latin-1").strip()

    def _fields(self) -> list[tuple[str, str]]:
        fields: list[tuple[str, str]] = []
        while (line := self._head_line()) not in (b"\r\n", b"\n"):
            if match := _FIELD_LINE.fullmatch(line):
                fields.append((match[1].decode("ascii"), match[2].decode("latin-1").strip(" \t")))
            elif fields and (match := _FOLDED_LINE.fullmatch(line)):
                name, value = fields[-1]
                fields[-1] = (name, f"{value} {match[1].decode('latin-1').strip()}")
            else:
                raise _odd(f"it has the header line {line[:40]!r}")
            if len(fields) > HEADERS_MAX:
                raise _odd(f"it has more than {HEADERS_MAX} headers")
        return fields

    def _head_line(self) -> bytes:
        line = self.fp.readline(self._head_left + 1)
        if not line and self._head_left == HEAD_CAP:
            raise _Stop(Failure.RESET, "The partner closed the connection without an answer.")
        self._head_left -= len(line)
        if self._head_left < 0:
            raise _odd(f"its headers are longer than {HEAD_CAP // 1024} KiB")
        if not line.endswith(b"\n"):
            raise _odd("it broke off in its headers")
        return line

    def _frame(self) -> None:
        """Where the body ends, and whether the connection may be used again (RFC 9112, 6.3 and 9.3)."""
        lengths = self._tokens("content-length")
        codings = self._tokens("transfer-encoding")
        connection = self._tokens("connection")
        if codings and (codings != ["chunked"] or lengths or self.version == 10):
            raise _odd("its transfer coding is not plain chunked")
        if len(set(lengths)) > 1 or not all(
            length.isascii() and length.isdigit() and len(length) < 16 for length in lengths
        ):
            raise _odd("its Content-Length is no single number")
        self.chunked = bool(codings)
        self.declared = self.length = int(lengths[0]) if lengths else None
        if self.status < 200 or self.status in (204, 304):
            self.chunked, self.length = False, 0
        endless = self.length is None and not self.chunked
        kept = "keep-alive" in connection if self.version == 10 else "close" not in connection
        self.will_close = endless or not kept

    def _tokens(self, name: str) -> list[str]:
        values = [value for given, value in self.fields if given.lower() == name]
        return [token.strip().lower() for value in values for token in value.split(",")]

    def _read_declared(self, room: int, length: int) -> None:
        taken = self._take(min(room, length))
        self.length = length - taken
        if self.length == 0:
            self._end()
        elif taken < room:
            raise _odd(f"it broke off after {len(self.received)} of {self.declared} bytes")

    def _read_chunks(self, room: int) -> None:
        while room:
            if not self._chunk_left:
                self._chunk_left = self._next_chunk()
                if not self._chunk_left:
                    self._fields()
                    self._end()
                    return
            wanted = min(room, self._chunk_left)
            taken = self._take(wanted)
            self._chunk_left -= taken
            room -= taken
            if taken < wanted or (not self._chunk_left and self.fp.read(2) != b"\r\n"):
                raise _odd(f"it broke off after {len(self.received)} bytes")

    def _next_chunk(self) -> int:
        line = self.fp.readline(_CHUNK_LINE_MAX)
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise _odd(f"it broke off or went wrong after {len(self.received)} bytes")
        return int(match[1], 16)

    def _take(self, wanted: int) -> int:
        """Read that many bytes, fewer only at the end; piece by piece, so that none is lost if it fails."""
        left = wanted
        while left and (piece := self.fp.read1(min(left, _PIECE))):
            self.received += piece
            left -= len(piece)
        return wanted - left

    def _end(self) -> None:
        """The body is complete: nothing may follow it, since on this connection nothing was asked for."""
        self._sock.settimeout(0)
        try:
            more = self.fp.peek(1)
        except OSError:
            more = b""
        self.close()
        if more:
            raise _odd(f"it goes on after the {len(self.received)} bytes that it declares")


def _odd(what: str) -> _Stop:
    return _Stop(Failure.ODD_ANSWER, f"The partner's answer is no proper HTTP: {what}.")


# --- Connections


class _Slot:
    """The call that a sender is making just now, where its connections find it."""

    def __init__(self) -> None:
        self.call: _Call | None = None
        self.wire: _Wire | None = None


class _Line(HTTPConnection):
    """A connection to an address that was vetted, which the deadline of the present call can cut."""

    response_class = _Answer

    def __init__(self, *args: Any, slot: _Slot, allowed: Sequence[Network], **options: Any) -> None:
        super().__init__(*args, **options)
        self.remote = ""
        self._slot = slot
        self._allowed = allowed
        self._lifeline: socket.socket | None = None
        self._held: list[bytes] | None = None

    def _new_conn(self) -> socket.socket:
        call = self._call()
        call.host = self._dns_host
        places = _vetted_places(call, self._dns_host, self.port, self._allowed)
        call.phase = _Phase.CONNECT
        connection, self.remote = _connected(call, places)
        self._drop_lifeline()
        # A duplicate: TLS takes the descriptor over, and its own shutdown would end the encryption only.
        self._lifeline = connection.dup()
        call.holds(self, self._lifeline)
        return connection

    def request(self, *args: Any, **options: Any) -> None:
        """Send the request in one piece, over a connection that the call's deadline holds."""
        call = self._call()
        if self.sock is None:
            self.connect()
        elif self._lifeline is not None:
            call.holds(self, self._lifeline)
        held: list[bytes] = []
        self._held = held
        try:
            super().request(*args, **options)
        finally:
            self._held = None
        call.phase, call.sent = _Phase.ANSWER, True
        self.send(b"".join(held))

    def send(self, data: Any) -> None:
        """Keep what `request` writes until it is complete."""
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    def close(self) -> None:
        """Close; the deadline keeps its hold on an answer that is still being read."""
        super().close()
        if self._slot.call is None:
            self._drop_lifeline()

    def settle(self) -> None:
        """Let go of what a closed connection leaves behind."""
        if self.sock is None:
            self._drop_lifeline()

    def _call(self) -> _Call:
        call = self._slot.call
        if call is None:
            raise RuntimeError("a connection is used outside of a call")
        return call

    def _drop_lifeline(self) -> None:
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            lifeline.close()


class _SecureLine(_Line, HTTPSConnection):
    """The same over TLS; name and certificate are those of the URL's host, whatever the address."""

    def connect(self) -> None:
        """Connect and shake hands."""
        try:
            super().connect()
        except TimeoutError:
            raise  # the socket's own clock may ring just before the watchdog's
        except (OSError, urllib3.exceptions.SSLError, ssl.CertificateError) as error:
            if getattr(error, "errno", None) in _OUR_SHORTAGES:
                raise
            raise _Stop(Failure.TLS, f"No secure connection to {self.host}: {_tls_words(error)}.") from error
        # Where the partner is gone already, Python may leave the handshake out and would send in the clear.
        if not isinstance(self.sock, ssl.SSLSocket) or self.sock.version() is None:
            raise _Stop(Failure.TLS, f"No secure connection to {self.host}: the partner closed it.")

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        self._call().phase = _Phase.TLS
        return connection


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Line


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureLine


class _TLS(ssl.SSLContext):
    """Verifies always, follows no variable of the environment, and may be shared by threads."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Leave them: urllib3 sets them at every connection, while other threads may be reading them."""


@lru_cache(maxsize=64)
def _tls(ca_bundle: str | None, certificate: tuple[str, str] | None) -> _TLS:
    context = _TLS(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    super(_TLS, context).set_alpn_protocols(["http/1.1"])
    bundle = ca_bundle or DEFAULT_CA_BUNDLE_PATH
    if Path(bundle).is_dir():
        context.load_verify_locations(capath=bundle)
    else:
        context.load_verify_locations(cafile=bundle)
    if certificate is not None:
        # An encrypted key fails; without a password given, it would ask for one on the terminal.
        context.load_cert_chain(*certificate, password="")
    return context


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

    def __init__(self, target: Target, slot: _Slot) -> None:
        if not 0 < target.deadline < math.inf:
            raise _Stop(Failure.BAD_TARGET, f"The deadline of {target.deadline} s makes no sense.")
        self._template = _prepared(target.url)
        self.path = self._template.path_url
        self.headers = _checked(target.headers)
        self.pool = _pool(self._template, target, slot)
        # Only a second line of defence behind the watchdog, so a little later.
        self.timeout = target.deadline + 1
        self.used_at = 0.0
        self._line: _Line | None = None

    def request(self, headers: Mapping[str, str], body: bytes) -> requests.PreparedRequest:
        """The whole request."""
        given = {**_DEFAULTS, **self.headers, **_checked(headers.items())}
        fields = dict(given.values())
        fields["Accept-Encoding"] = "identity"
        fields["Content-Length"] = str(len(body))
        request = copy(self._template)
        # A plain dict does: names were made unique without regard to case above.
        request.headers = cast(CaseInsensitiveDict[str], fields)
        request.body = body
        return request

    def settle(self, call: _Call, *, whole: bool) -> None:
        """After a call: keep the connection only if all of a whole answer was read from it."""
        self.used_at = time.monotonic()
        previous, self._line = self._line, call.line
        if call.line is not None and not whole:
            if call.answer is not None:
                call.answer.close()
            call.line.close()
        for line in (previous, call.line):
            if line is not None:
                line.settle()

    def hang_up(self) -> None:
        """Close the connection; the next request makes a new one."""
        line, self._line = self._line, None
        if line is not None:
            line.close()


def _prepared(url: str) -> requests.PreparedRequest:
    """A request to the URL. Stops the call if the URL is not plain http(s)://host[:port]/…"""
    try:
        parts = urlsplit("" if _BAD_IN_URL.search(url) else url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise _Stop(Failure.BAD_TARGET, "The address is not of the form https://host/path.")
        if "@" in parts.netloc:
            raise _Stop(Failure.BAD_TARGET, "The address contains a user name or password.")
        if "%" in parts.netloc:
            raise _Stop(Failure.BAD_TARGET, "The host in the address contains a %, as of a zone id.")
        prepared = requests.PreparedRequest()
        prepared.method = "POST"
        prepared.prepare_url(url, None)
    except (ValueError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _Stop(Failure.BAD_TARGET, f"The address cannot be used: {error}.") from None
    return prepared


def _checked(headers: Iterable[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Headers by their lower-case name. Stops the call if one cannot be sent as it is."""
    checked = {}
    for name, value in headers:
        key = name.lower()
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise _Stop(Failure.BAD_TARGET, f"The header {name!r:.60} has characters that cannot be sent.")
        if key in _OURS_ALONE:
            raise _Stop(Failure.BAD_TARGET, f"The header {name} cannot be set.")
        checked[key] = (name, value)
    return checked


_DEFAULTS = _checked(
    [("User-Agent", USER_AGENT), ("Accept", "application/json"), ("Content-Type", "application/json")]
)


def _pool(prepared: requests.PreparedRequest, target: Target, slot: _Slot) -> urllib3.HTTPConnectionPool:
    parts = urlsplit(prepared.url or "")
    host = parts.hostname or ""
    own: dict[str, Any] = {"slot": slot, "allowed": target.allowed}
    if parts.scheme == "http":
        return _Pool(host, parts.port, **own)
    try:
        context = _tls(target.ca_bundle, target.client_certificate)
    except (OSError, ValueError) as error:
        words = f"The certificates for the partner cannot be used: {_tls_words(error)}."
        raise _Stop(Failure.BAD_TARGET, words) from None
    return _SecurePool(host, parts.port, ssl_context=context, **own)


class _NoCookies(RequestsCookieJar):
    """Keeps none: a partner's cookie must not travel with another message."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Do nothing."""


class _Adapter(HTTPAdapter):
    """Takes pool, path and TLS settings from the prepared target instead of working them out each time."""

    def __init__(self, slot: _Slot) -> None:
        super().__init__()
        self._slot = slot

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        """The target's own pool, whose context verifies; there are no proxies."""
        return self._wire().pool

    def cert_verify(self, *args: Any, **options: Any) -> None:
        """Nothing to set: the pool was made with its context."""

    def request_url(self, *args: Any, **options: Any) -> str:
        """Path and query."""
        return self._wire().path

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """The bare response: headers are read from the answer itself, cookies not at all."""
        response = requests.Response()
        response.status_code, response.raw, response.request = resp.status, resp, req
        return response

    def _wire(self) -> _Wire:
        if self._slot.wire is None:
            raise RuntimeError("a request is sent outside of a call")
        return self._slot.wire


class _Session(requests.Session):
    """Takes nothing from the environment and follows no redirect."""

    def __init__(self, slot: _Slot) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies = _NoCookies()
        self.adapters.clear()
        adapter = _Adapter(slot)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: Any) -> None:
        """None: else requests reads and unpacks the body of a redirect, even of one it must not follow."""
