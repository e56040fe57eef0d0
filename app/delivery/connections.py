"""urllib3 connections to a checked address, cut at the call's deadline, with bounded responses."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterable, Sequence
from functools import lru_cache
from tempfile import NamedTemporaryFile
from typing import Any

import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from app.delivery.address_policy import Network, may_connect, plain_address
from app.delivery.call_result import LOCAL_SHORTAGES, DetailCode, Failure, SendAborted
from app.delivery.deadline import Call, Phase, watchdog
from app.delivery.resolver import Address, resolve

ADDRESSES_MAX = 8
"""Addresses of one name that are tried."""
OVERHEAD_MAX = 64 * 1024
"""Bytes of a response outside its body: status lines, headers, chunk sizes and trailers."""
INFORMATIONAL_MAX = 16
"""Informational responses (such as 103 Early Hints) that are skipped before the final one."""

_BLANK_BEFORE_COLON = re.compile(rb"^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+:")
_WHOLE_WORDS = re.compile(r"[^\r\n]{1,40}(?![!-~])")


class ResponseStream:
    """The bounded stream that `http.client` reads a response from.

    A broken connection looks like the end of the stream; `error` says why.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.error: OSError | None = None
        self.received = False
        self.is_unusual = False
        """Whether something unusual was read, so that the connection is not reused."""
        self.cut = False
        """Whether the connection ended within a line or where one was expected."""
        self.closed = False
        self._connection = connection
        self._buffer = bytearray()
        self._overhead = 0

    def makefile(self, _mode: str) -> ResponseStream:
        """Return this stream: `http.client` asks a socket for the file to read from."""
        return self

    def readline(self, limit: int) -> bytes:
        """The next line, without a newline at the end of the stream or beyond ``limit`` bytes."""
        start = 0
        while (end := self._buffer.find(b"\n", start, limit)) < 0 and len(self._buffer) < limit:
            start = len(self._buffer)
            if not self._receive():
                break
        line = self._take(end + 1 if end >= 0 else min(len(self._buffer), limit))
        self.cut = self.cut or not line or (len(line) < limit and not line.endswith(b"\n"))
        self._overhead += len(line)
        if self._overhead > OVERHEAD_MAX:
            raise _malformed(DetailCode.OVERHEAD_TOO_LARGE, kib=OVERHEAD_MAX // 1024)
        fixed = _BLANK_BEFORE_COLON.sub(rb"\1:", line)
        self.is_unusual = self.is_unusual or fixed != line
        return fixed

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer only at the end."""
        if size < 0:  # http.client asks for this after a negative chunk size
            raise _malformed(DetailCode.CHUNK_SIZE_INVALID)
        while len(self._buffer) < size and self._receive():
            pass
        return self._take(min(size, len(self._buffer)))

    def has_more(self) -> bool:
        """Whether bytes have arrived that no one has read."""
        decrypted = self._connection.pending() if isinstance(self._connection, ssl.SSLSocket) else 0
        return bool(self._buffer or decrypted)

    def flush(self) -> None:
        """Do nothing: `http.client` flushes what it closes."""

    def close(self) -> None:
        """Only mark it as closed: the connection owns the socket."""
        self.closed = True

    def _receive(self) -> bool:
        try:
            data = self._connection.recv(64 * 1024)
        except OSError as error:
            self.error = error
            return False
        self.received = self.received or bool(data)
        self._buffer += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data


class PartnerResponse(http.client.HTTPResponse):
    """A response whose size is bounded and that tells whether its connection may be used again."""

    def __init__(self, connection: socket.socket, *args: Any, **options: Any) -> None:
        self.stream = ResponseStream(connection)
        super().__init__(self.stream, *args, **options)  # type: ignore[arg-type]
        self.declared: int | None = None
        """The Content-Length."""
        self._keeps_alive = False
        self._ended = False

    def begin(self) -> None:
        """Read the status line and headers. Skip 1xx responses, which `http.client` takes for final."""
        super().begin()
        for _ in range(INFORMATIONAL_MAX):
            if not 102 <= self.status < 200:
                break
            # A server that sends these may send others late, so the connection is not reused.
            self.stream.is_unusual = True
            self.headers = None  # type: ignore[assignment]
            super().begin()
        if self.stream.cut:  # http.client takes it for the end of the headers
            raise self.stream.error or _malformed(DetailCode.HEADERS_CUT)
        if not 200 <= self.status < 600:
            raise _malformed(DetailCode.STATUS_INVALID, status=self.status)
        self._check_framing()

    def read_body(self, limit: int) -> bytes:
        """At most ``limit`` bytes of the body, also where it breaks off. See `is_whole`."""
        try:
            data = self.read(limit)
        except http.client.IncompleteRead as error:
            return error.partial
        reads_to_end = self.length is None and not self.chunked
        ended = (self.isclosed() and not self.length) or (reads_to_end and len(data) < limit)
        self._ended = ended and self.stream.error is None and not self.stream.cut
        return data

    @property
    def is_whole(self) -> bool:
        """Whether the body was read to its end."""
        return self._ended

    @property
    def is_reusable(self) -> bool:
        """Whether the connection may carry another request: nothing about this response was unusual."""
        return self._keeps_alive and self._ended and not self.stream.is_unusual and not self.stream.has_more()

    def _check_framing(self) -> None:
        """Set how long the body is and whether the connection can be kept; contradictory headers fail."""
        codings = self._tokens("transfer-encoding") - {"identity"}
        lengths = self._tokens("content-length")
        if codings and not self.chunked:
            raise _malformed(DetailCode.ENCODING_UNKNOWN)
        if not self.chunked and lengths:
            self.declared = _declared_length(lengths)
            self.length = 0 if self.status in (204, 304) else self.declared
        endless = self.length is None and not self.chunked
        if endless and self.headers.defects:
            raise _malformed(DetailCode.HEADERS_UNREADABLE)
        connection = self._tokens("connection")
        persistent = self.version > 10 or "keep-alive" in connection
        is_unusual = self.headers.defects or (codings and (lengths or self.version == 10))
        self._keeps_alive = persistent and "close" not in connection and not endless and not is_unusual
        # http.client would close the connection, and with it the socket that the deadline cuts.
        self.will_close = False

    def _tokens(self, name: str) -> set[str]:
        values = self.headers.get_all(name, [])
        return {token.strip(" \t").lower() for value in values for token in value.split(",")}


def _declared_length(lengths: set[str]) -> int:
    """The Content-Length; repeated headers are valid if they agree."""
    length = next(iter(lengths))
    if len(lengths) > 1 or not (len(length) < 16 and length.isascii() and length.isdigit()):
        raise _malformed(DetailCode.LENGTH_INVALID)
    return int(length)


class CheckedConnection(HTTPConnection):
    """A connection to an address that the policy allows; the deadline of the current call cuts it."""

    def __init__(self, host: str, port: int, *, allowed: Sequence[Network], **options: Any) -> None:
        super().__init__(host, port, **options)
        self.call: Call | None = None
        self.remote_address = ""
        self._allowed = allowed
        self._duplicate: socket.socket | None = None
        self._request_incomplete = False
        self._request_parts: list[bytes] = []

    def response_class(  # type: ignore[override]
        self, connection: socket.socket, **options: Any
    ) -> PartnerResponse:
        """Create the response; the call keeps it, also if reading it fails."""
        response = PartnerResponse(connection, **options)
        self._current_call().response = response
        return response

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request; on a reused connection, the deadline of this call counts from here."""
        self._request_incomplete, self._request_parts = False, []
        if self._duplicate is not None:
            self._current_call().guard(self._duplicate, self.remote_address)
        super().request(*args, **options)
        self._send_request(b"".join(self._request_parts))

    def send(self, data: Any) -> None:
        """Keep these bytes until the request is complete: one packet costs less than two."""
        self._request_parts.append(data)

    def _send_request(self, request: bytes) -> None:
        """Send bytes. A partner that closes early may have said why, so the response is still read."""
        if self.sock is None:
            self.connect()
        call = self._current_call()
        call.phase, call.sent = Phase.RESPONSE, True
        try:
            super().send(request)
        except (ConnectionError, ssl.SSLEOFError):
            self._request_incomplete = True
        except OSError as error:
            raise aborted(error, call) from error

    def getresponse(self) -> Any:
        """Read the head of the response. Errors: SendAborted."""
        call = self._current_call()
        try:
            response = super().getresponse()
        except (http.client.HTTPException, OSError, ValueError) as error:
            stream = call.response.stream if call.response else None
            if stream is not None and stream.error is not None:
                raise aborted(stream.error, call) from error
            if stream is None or not stream.received:
                raise SendAborted(Failure.RESET, DetailCode.CLOSED_WITHOUT_RESPONSE) from error
            raise _unreadable_head(error) from error
        # A partner cannot have accepted what it did not receive; a refusal (such as 413) counts.
        if self._request_incomplete:
            if response.status < 300:
                call.response = None
                raise SendAborted(Failure.RESET, DetailCode.CLOSED_DURING_REQUEST)
            if call.response is not None:
                call.response.stream.is_unusual = True
        return response

    def close(self) -> None:
        """Close the connection and the duplicate that the deadline cuts."""
        super().close()
        duplicate, self._duplicate = self._duplicate, None
        if duplicate is not None:
            watchdog.close(duplicate)

    def _current_call(self) -> Call:
        if self.call is None:
            raise RuntimeError("the connection is used outside of a call")
        return self.call

    def _new_conn(self) -> socket.socket:
        call = self._current_call()
        call.phase, call.host = Phase.NAME, self._dns_host
        addresses = allowed_addresses(call, self._dns_host, self.port, self._allowed)
        call.phase = Phase.CONNECT
        connection, self.remote_address = open_connection(call, addresses)
        try:
            # A duplicate, because shutdown() of a TLS socket would end the encryption only.
            self._duplicate = connection.dup()
            call.guard(self._duplicate, self.remote_address)
            # A second limit behind the watchdog, so a little later.
            connection.settimeout(call.time_left() + 1)
        except OSError as error:
            connection.close()
            raise aborted(error, call) from error
        except BaseException:
            connection.close()
            raise
        return connection


class SecureConnection(CheckedConnection, HTTPSConnection):
    """The same over TLS. SNI and certificate verification use the URL's host, whatever the address."""

    def connect(self) -> None:
        """Connect and complete the TLS handshake. Errors: SendAborted."""
        try:
            super().connect()
        except (OSError, urllib3.exceptions.SSLError, ssl.CertificateError) as error:
            if isinstance(error, TimeoutError) or getattr(error, "errno", None) in LOCAL_SHORTAGES:
                raise aborted(error, self._current_call()) from error
            cause = tls_error_text(error)
            raise SendAborted(
                Failure.TLS, DetailCode.HANDSHAKE_FAILED, host=self.host, cause=cause
            ) from error
        # If the partner is already gone, Python may skip the handshake and would send in clear text.
        if not isinstance(self.sock, ssl.SSLSocket) or self.sock.version() is None:
            raise SendAborted(Failure.TLS, DetailCode.HANDSHAKE_CLOSED, host=self.host)

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        self._current_call().phase = Phase.TLS
        return connection


class CheckedPool(HTTPConnectionPool):
    """The connections to one target; each is bound to the current call before it is used."""

    ConnectionCls = CheckedConnection
    call: Call | None = None

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        connection.call = self.call
        return connection


class SecurePool(CheckedPool, HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = SecureConnection


def allowed_addresses(call: Call, host: str, port: int, allowed: Sequence[Network]) -> list[Address]:
    """Look the host up once and return the addresses that may be connected to.

    Errors: SendAborted if there is none or the call's time is up.
    """
    addresses = resolve(host, port, call.time_left())
    permitted = [address for address in addresses if may_connect(address.ip, allowed)]
    if not permitted:
        listed = ", ".join(address.ip for address in addresses[:3]) or "no address"
        code = DetailCode.ADDRESS_FORBIDDEN if plain_address(host) else DetailCode.HOST_FORBIDDEN
        raise SendAborted(Failure.ADDRESS, code, host=host, addresses=listed)
    return permitted[:ADDRESSES_MAX]


def open_connection(call: Call, addresses: Sequence[Address]) -> tuple[socket.socket, str]:
    """Connect to the first address that accepts within its share of the time left. Errors: SendAborted."""
    problem, shortage = None, None
    for number, address in enumerate(addresses):
        left = call.time_left()
        call.host = str(address)
        try:
            return connect_to(address, left / (len(addresses) - number)), str(address)
        except OSError as error:
            if error.errno in LOCAL_SHORTAGES:
                shortage = error  # perhaps of IPv6 only, so another address may work
            else:
                problem = _not_connected(address, error)
    call.time_left()
    if shortage and not problem:
        raise aborted(shortage, call)
    raise problem or SendAborted(Failure.CONNECT)


def _not_connected(address: Address, error: OSError) -> SendAborted:
    is_refused = isinstance(error, ConnectionRefusedError)
    code = DetailCode.CONNECTION_REFUSED if is_refused else DetailCode.NOT_CONNECTED
    return SendAborted(Failure.CONNECT, code, address=str(address), cause=error.strerror or str(error))


def connect_to(address: Address, seconds: float) -> socket.socket:
    """Open a TCP connection to the address. Errors: OSError."""
    connection = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect((address.ip, address.port))
    except BaseException:
        connection.close()
        raise
    return connection


class _SharedContext(ssl.SSLContext):
    """A TLS context that threads share: urllib3 sets ALPN at every connection, others may be reading it."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Keep the protocols that were set at first."""


@lru_cache(maxsize=64)
def _context(ca_bundle: str, client_certificate: str) -> ssl.SSLContext:
    context = _SharedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    super(_SharedContext, context).set_alpn_protocols(["http/1.1"])
    if ca_bundle:
        # The text around the certificates may have other characters, but the library accepts only ASCII.
        context.load_verify_locations(cadata=ca_bundle.encode("ascii", "replace").decode())
    else:
        context.load_verify_locations(cafile=DEFAULT_CA_BUNDLE_PATH)
    if client_certificate:
        # The library reads only files. This one is private, and gone as soon as it has been read.
        with NamedTemporaryFile("w", encoding="utf-8", suffix=".pem") as file:
            file.write(client_certificate)
            file.flush()
            # With an empty password an encrypted key fails; without one, OpenSSL would ask on the terminal.
            context.load_cert_chain(file.name, password="")
    return context


def tls_context(ca_bundle: str, client_certificate: str) -> ssl.SSLContext:
    """A TLS context that always verifies. Errors: SendAborted if the certificates cannot be used.

    ``ca_bundle`` is empty for the public CAs, ``client_certificate`` for none. Both are PEM texts.
    """
    try:
        return _context(ca_bundle, client_certificate)
    except (OSError, ValueError) as error:
        if not isinstance(error, ssl.SSLError) and getattr(error, "errno", None) in LOCAL_SHORTAGES:
            raise _shortage(error) from None
        cause = tls_error_text(error)
        raise SendAborted(Failure.BAD_TARGET, DetailCode.CERTIFICATES_UNUSABLE, cause=cause) from None


def tls_error_text(error: Exception) -> str:
    """What went wrong, without the libraries' decoration."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return str(getattr(error, "strerror", None) or error or type(error).__name__).rstrip(".")


def aborted(error: Exception, call: Call) -> SendAborted:
    """The failure that an error of the socket means."""
    if isinstance(error, TimeoutError):
        return SendAborted(Failure.TIMEOUT)
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLSyscallError):
        return SendAborted(Failure.TLS, DetailCode.TLS_FAILED, cause=tls_error_text(error))
    if getattr(error, "errno", None) in LOCAL_SHORTAGES:
        return _shortage(error)
    cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if call.sent:
        return SendAborted(Failure.RESET, DetailCode.CONNECTION_CLOSED, cause=cause)
    return SendAborted(Failure.CONNECT, DetailCode.CONNECTION_FAILED, cause=cause)


def _shortage(error: Exception) -> SendAborted:
    cause = getattr(error, "strerror", None) or str(error)
    return SendAborted(Failure.INTERNAL, DetailCode.OUT_OF_RESOURCE, cause=cause)


def _unreadable_head(error: Exception) -> SendAborted:
    if isinstance(error, http.client.BadStatusLine):
        # Only whole words: half a secret would not be recognized by what masks secrets.
        line = str(error.args[0])
        match = _WHOLE_WORDS.match(line)
        return _malformed(DetailCode.START_INVALID, quote=repr(match[0] if match else line[:8]))
    return _malformed(DetailCode.HEADERS_INVALID, cause=str(error))


def _malformed(code: DetailCode, **params: Any) -> SendAborted:
    return SendAborted(Failure.MALFORMED_RESPONSE, code, **params)
