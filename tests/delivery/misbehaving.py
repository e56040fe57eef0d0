"""A partner on raw sockets: each connection follows a script, so a test can make it misbehave."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import trustme

from tests.waiting import wait_until

OK = b'{"response_code":0}'
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
KILOBYTES = b"x" * 65536


def response(body: bytes = OK, *headers: str, status: str = "200 OK") -> bytes:
    """Build a valid response with a correct Content-Length and more header lines."""
    head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    """Build one chunk of a chunked body; empty data is the last chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def server_context(certificate: trustme.LeafCert, *, clients: trustme.CA | None = None) -> ssl.SSLContext:
    """TLS for a server; with ``clients`` it wants a certificate by that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


@dataclass(frozen=True)
class Received:
    """A request as received."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the only header of this name, None if there is none."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1
        return values[0] if values else None


class Connection:
    """One accepted connection, as a script uses it."""

    def __init__(self, connection: socket.socket, partner: FakePartner) -> None:
        self._connection = connection
        self._partner = partner
        self._buffer = b""

    def encrypt(self, secure: ssl.SSLSocket) -> None:
        """Go on over TLS."""
        self._connection = secure

    @property
    def descriptor(self) -> int:
        """The descriptor of the socket below any encryption."""
        return self._connection.fileno()

    def receive(self) -> Received:
        """Wait for a whole request. Errors: ConnectionError if the other side closes."""
        while b"\r\n\r\n" not in self._buffer:
            self._read()
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        line, *rows = head.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, value in (row.split(":", 1) for row in rows)]
        received = Received(line, headers, b"")
        length = int(received.header("Content-Length") or 0)
        while len(self._buffer) < length:
            self._read()
        received = Received(line, headers, self._buffer[:length])
        self._buffer = self._buffer[length:]
        self._partner.received.append(received)
        return received

    def send(self, data: bytes) -> None:
        """Send at once."""
        self._connection.sendall(data)

    def drip(self, data: bytes, every: float = 0.05) -> None:
        """Send byte by byte, until everything is sent or the other side closes."""
        for index in range(len(data)):
            self.send(data[index : index + 1])
            self.pause(every)

    def pause(self, seconds: float) -> None:
        """Do nothing. Errors: ConnectionError when the test is over."""
        if self._partner.over.wait(seconds):
            raise ConnectionError

    def stall(self) -> None:
        """Do nothing until the other side closes or the test is over."""
        self._partner.done.add(self)
        while self._connection.recv(65536):
            pass

    def ignore(self) -> None:
        """Do nothing, not even read, until the test is over."""
        self._partner.done.add(self)
        self._partner.over.wait()

    def half_close(self) -> None:
        """Close the sending side, and keep reading."""
        self._connection.shutdown(socket.SHUT_WR)
        self.stall()

    def end_encryption(self) -> None:
        """Send a TLS close_notify, and keep the socket below open."""
        if isinstance(self._connection, ssl.SSLSocket):
            self._connection.setblocking(False)
            with contextlib.suppress(ssl.SSLWantReadError):  # the other side need not respond
                self._connection.unwrap()
        self.ignore()

    def reset(self) -> None:
        """Close so that the other side sees a reset."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def _read(self) -> None:
        data = self._connection.recv(65536)
        if not data:
            raise ConnectionError
        self._buffer += data


Script = Callable[[Connection], None]


class FakePartner:
    """A local server that runs the next script for each connection, and the last one for all others."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.over = threading.Event()
        self.done: set[object] = set()
        """Connections whose script has ended, or does nothing any more."""
        self._scripts = scripts
        self._tls = tls
        self._open: list[socket.socket] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        # A blocked accept() wakes at a shutdown, not at a close.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        """Return the URL where it listens."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def wait_until_done(self) -> None:
        """Wait until every connection's script has ended or does nothing any more."""
        wait_until(lambda: 0 < self.connections == len(self.done))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                script = self._scripts[min(self.connections, len(self._scripts) - 1)]
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._follow, args=(script, connection), daemon=True).start()

    def _follow(self, script: Script, accepted: socket.socket) -> None:
        connection = Connection(accepted, self)
        # Many tests are about the other side cutting the connection.
        with contextlib.suppress(OSError), accepted:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                script(connection)
            else:
                with self._tls.wrap_socket(accepted, server_side=True) as secure:
                    self._open.append(secure)
                    connection.encrypt(secure)
                    script(connection)
        self.done.add(connection)


def responds(*responses: bytes) -> Script:
    """Sends one response per request on one connection, then keeps it open."""

    def script(connection: Connection) -> None:
        for data in responses:
            connection.receive()
            connection.send(data)
        connection.stall()

    return script


def responds_and_closes(data: bytes) -> Script:
    """Sends these bytes after the first request, then closes."""

    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(data)

    return script


def behaves(connection: Connection) -> None:
    """Sends a valid response to every request."""
    while True:
        connection.receive()
        connection.send(response())


def drips_body(connection: Connection) -> None:
    """Responds with a body that it sends byte by byte."""
    connection.receive()
    connection.send(HEAD + b"Content-Length: 10000\r\n\r\n")
    connection.drip(b"x" * 10000)


def never_responds(connection: Connection) -> None:
    """Reads the request and does not respond."""
    connection.receive()
    connection.stall()


def never_reads(connection: Connection) -> None:
    """Does not even read the request."""
    connection.ignore()


def responds_once_then(script: Script) -> Script:
    """Responds to one request, then follows ``script`` on the same connection."""

    def respond(connection: Connection) -> None:
        connection.receive()
        connection.send(response())
        script(connection)

    return respond


def floods(start: bytes, repeat: bytes) -> Script:
    """Responds with ``start``, then sends ``repeat`` until the other side closes."""

    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(start)
        while True:
            connection.send(repeat)

    return script


def resets_at_once(connection: Connection) -> None:
    """Resets without reading."""
    connection.reset()


def closes_at_once(_: Connection) -> None:
    """Closes without reading."""


def resets_after_the_request(connection: Connection) -> None:
    """Reads the request, then resets."""
    connection.receive()
    connection.reset()


def closes_after_the_request(connection: Connection) -> None:
    """Reads the request, then closes."""
    connection.receive()


def resets_in_the_body(connection: Connection) -> None:
    """Resets after five of a hundred bytes of the body."""
    connection.receive()
    connection.send(HEAD + b"Content-Length: 100\r\n\r\n12345")
    connection.pause(0.1)
    connection.reset()
