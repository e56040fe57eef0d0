"""A partner made of raw sockets: each connection follows a script, so it can be as odd as the test needs."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

OK = b'{"response_code":0}'


def answer(body: bytes = OK, *headers: str, status: str = "200 OK") -> bytes:
    """A proper answer with the right Content-Length and such further header lines."""
    head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; empty data is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The only header of this name, None if there is none."""
        (value,) = [value for given, value in self.headers if given.lower() == name.lower()] or [None]
        return value


class Talk:
    """One connection, as the script sees it."""

    def __init__(self, connection: socket.socket, partner: Partner) -> None:
        self._connection = connection
        self._partner = partner
        self._came = b""

    @property
    def descriptor(self) -> int:
        """The descriptor of the connection below any encryption."""
        return self._connection.fileno()

    def hear(self) -> Received:
        """Wait for a whole request. ConnectionError if the other side closes."""
        while b"\r\n\r\n" not in self._came:
            self._more()
        head, self._came = self._came.split(b"\r\n\r\n", 1)
        line, *rows = head.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, value in (row.split(":", 1) for row in rows)]
        received = Received(line, headers, b"")
        length = int(received.header("Content-Length") or 0)
        while len(self._came) < length:
            self._more()
        received = Received(line, headers, self._came[:length])
        self._came = self._came[length:]
        self._partner.received.append(received)
        return received

    def say(self, data: bytes) -> None:
        """Send at once."""
        self._connection.sendall(data)

    def drip(self, data: bytes, every: float = 0.05) -> None:
        """Send byte by byte, until all is sent or the other side has gone."""
        for place in range(len(data)):
            self.say(data[place : place + 1])
            self.pause(every)

    def pause(self, seconds: float) -> None:
        """Do nothing; ConnectionError once the test is over."""
        if self._partner.over.wait(seconds):
            raise ConnectionError

    def stall(self) -> None:
        """Do nothing until the other side closes or the test is over."""
        while self._connection.recv(65536):
            pass

    def ignore(self) -> None:
        """Do nothing, not even read, until the test is over."""
        self._partner.over.wait()

    def half_close(self) -> None:
        """Promise to send nothing more, and go on reading."""
        self._connection.shutdown(socket.SHUT_WR)
        self.stall()

    def end_encryption(self) -> None:
        """Say over TLS that nothing more comes, and keep the connection below it open."""
        if isinstance(self._connection, ssl.SSLSocket):
            self._connection.unwrap()
        self.ignore()

    def reset(self) -> None:
        """Break off so that the other side sees a reset."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def _more(self) -> None:
        data = self._connection.recv(65536)
        if not data:
            raise ConnectionError
        self._came += data


Script = Callable[[Talk], None]


class Partner:
    """A server on this machine that gives each connection the next script, and the last one to all others."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.over = threading.Event()
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
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def wait_for(self, condition: Callable[[], bool], seconds: float = 5) -> None:
        """Wait until the condition holds. AssertionError if it does not within the time."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "the partner waited in vain"
            time.sleep(0.005)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                script = self._scripts[min(self.connections, len(self._scripts) - 1)]
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._follow, args=(script, connection), daemon=True).start()

    def _follow(self, script: Script, connection: socket.socket) -> None:
        # That the other side cuts the connection is what many tests are about.
        with contextlib.suppress(OSError), connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                script(Talk(connection, self))
                return
            with self._tls.wrap_socket(connection, server_side=True) as secure:
                self._open.append(secure)
                script(Talk(secure, self))


def says(*answers: bytes) -> Script:
    """Answers one request with each, in turn, on one connection, then keeps it open."""

    def script(talk: Talk) -> None:
        for data in answers:
            talk.hear()
            talk.say(data)
        talk.stall()

    return script


def says_and_closes(data: bytes) -> Script:
    """Answers one request with these bytes, then closes."""

    def script(talk: Talk) -> None:
        talk.hear()
        talk.say(data)

    return script


def serves(talk: Talk) -> None:
    """Behaves: every request gets a proper answer."""
    while True:
        talk.hear()
        talk.say(answer())
