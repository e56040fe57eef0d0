"""Connections: to an address that was vetted, over TLS that verifies, cut at the deadline of their call."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from app.delivery.address_policy import Network
from app.delivery.wire.answer import Answer, Incoming
from app.delivery.wire.call import Call, Phase
from app.delivery.wire.names import Place, vetted_places
from app.delivery.wire.outcome import OUR_SHORTAGES, Failure, Stop


class Line(HTTPConnection):
    """One connection, made within a call; the deadline of whichever call uses it can cut it."""

    def __init__(self, host: str, port: int, *, allowed: Sequence[Network], **options: Any) -> None:
        super().__init__(host, port, **options)
        self.remote = ""
        self._allowed = allowed
        self._call: Call | None = None
        self._lifeline: socket.socket | None = None
        self._incoming: Incoming | None = None

    def open(self, call: Call, seconds: float) -> None:
        """Connect; later a read or a write may take so many ``seconds``. Errors: Stop, OSError."""
        self._call = call
        self.connect()
        if self.sock is None or self._lifeline is None:
            raise RuntimeError("a connection was made without its socket")
        self._incoming = Incoming(self.sock, self._lifeline, seconds)

    @property
    def is_usable(self) -> bool:
        """Whether it stands and nothing came on it that nobody asked for."""
        return self._incoming is not None and self._incoming.is_silent()

    def use(self, call: Call) -> None:
        """From now on it is cut at this call's deadline. Errors: Stop if that is over."""
        call.phase = Phase.ANSWER
        if self._lifeline is not None:
            call.holds(self._lifeline, self.remote)

    def post(self, call: Call, request: bytes) -> Answer:
        """Send the whole request and read the head of what is answered. Errors: Stop, OSError."""
        if self.sock is None or self._incoming is None:
            raise RuntimeError("a connection is used that is not open")
        answer = Answer(self._incoming)
        try:
            self.give(call, request)
        except (ConnectionError, ssl.SSLEOFError):
            if not _is_refusal(answer):
                raise
        else:
            answer.begin()
        call.answer = answer
        return answer

    def give(self, call: Call, request: bytes) -> None:
        """Send the whole request."""
        call.phase, call.sent = Phase.ANSWER, True
        self.sock.sendall(request)

    def close(self) -> None:
        """Close; no deadline may be looking at it any more."""
        super().close()
        self._incoming = None
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            lifeline.close()

    def _new_conn(self) -> socket.socket:
        call = self._call
        if call is None:
            raise RuntimeError("a connection is made outside of a call")
        call.phase, call.host = Phase.NAME, self._dns_host
        places = vetted_places(call, self._dns_host, self.port, self._allowed)
        call.phase = Phase.CONNECT
        connection, self.remote = _connected(call, places)
        try:
            # A duplicate: TLS takes the descriptor over, and its own shutdown would end the encryption only.
            self._lifeline = socket.socket(
                connection.family, socket.SOCK_STREAM, fileno=os.dup(connection.fileno())
            )
            call.holds(self._lifeline, self.remote)
            # Each of several addresses had but a share of the time. The watchdog comes first, as later.
            connection.settimeout(call.left() + 1)
        except BaseException:
            connection.close()
            raise
        return connection


class SecureLine(Line, HTTPSConnection):
    """The same over TLS; name and certificate are those of the URL's host, whatever the address."""

    def connect(self) -> None:
        """Connect and shake hands."""
        try:
            super().connect()
        except TimeoutError:
            raise  # the socket's own clock may ring just before the watchdog's
        except (OSError, urllib3.exceptions.SSLError, ssl.CertificateError) as error:
            if getattr(error, "errno", None) in OUR_SHORTAGES:
                raise
            raise Stop(Failure.TLS, f"No secure connection to {self.host}: {tls_words(error)}.") from error
        # Where the partner is gone already, Python may leave the handshake out and would send in the clear.
        if not isinstance(self.sock, ssl.SSLSocket) or self.sock.version() is None:
            raise Stop(Failure.TLS, f"No secure connection to {self.host}: the partner closed it.")

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        if self._call is not None:
            self._call.phase = Phase.TLS
        return connection


def line_to(
    scheme: str,
    host: str,
    port: int,
    allowed: Sequence[Network],
    *,
    ca_bundle: str,
    certificate: tuple[str, str] | None,
) -> Line:
    """A connection still to be opened. Errors: Stop if the certificates cannot be used."""
    if scheme == "http":
        return Line(host, port, allowed=allowed)
    try:
        context = _tls(ca_bundle, certificate)
    except (OSError, ValueError) as error:
        if not isinstance(error, ssl.SSLError) and getattr(error, "errno", None) in OUR_SHORTAGES:
            raise
        words = f"The certificates for the partner cannot be used: {tls_words(error)}."
        raise Stop(Failure.BAD_TARGET, words) from None
    return SecureLine(host, port, allowed=allowed, ssl_context=context)


def tls_words(error: Exception) -> str:
    """What went wrong, without the libraries' decoration."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return str(getattr(error, "strerror", None) or error or type(error).__name__).rstrip(".")


def _is_refusal(answer: Answer) -> bool:
    """Whether a partner that closed before it had the whole request said why, by a 413 for instance.

    A success is not believed: nobody can have accepted what had not arrived.
    """
    try:
        answer.begin()
    except (OSError, Stop):
        return False
    answer.ends_connection = True
    return answer.status >= 300


def _connected(call: Call, places: Sequence[Place]) -> tuple[socket.socket, str]:
    """A connection to the first place that accepts one within its share of the time left."""
    problem, shortage = "", None
    for number, (family, where) in enumerate(places):
        left = call.left()
        name = f"[{where[0]}]:{where[1]}" if family == socket.AF_INET6 else f"{where[0]}:{where[1]}"
        call.host = name
        try:
            return _connection(family, where, left / (len(places) - number)), name
        except OSError as error:
            if error.errno in OUR_SHORTAGES:
                shortage = error  # of IPv6 alone perhaps: another address may do
            else:
                problem = f"{name}: {error.strerror or error}"
    call.left()
    if shortage and not problem:
        raise shortage
    raise Stop(Failure.CONNECT, f"No connection to {problem}.")


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


class _TLS(ssl.SSLContext):
    """Verifies always, follows no variable of the environment, and may be shared by threads."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Leave them: urllib3 sets them at every connection, while other threads may be reading them."""


@lru_cache(maxsize=64)
def _tls(ca_bundle: str, certificate: tuple[str, str] | None) -> _TLS:
    context = _TLS(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    super(_TLS, context).set_alpn_protocols(["http/1.1"])
    if Path(ca_bundle).is_dir():
        context.load_verify_locations(capath=ca_bundle)
    else:
        context.load_verify_locations(cafile=ca_bundle)
    if certificate is not None:
        # An encrypted key fails; without a password given, it would ask for one on the terminal.
        context.load_cert_chain(*certificate, password="")
    return context
