"""A mail server on a real socket that can be told to fail."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class Taken:
    """A mail that the server took."""

    sender: str
    to: list[str]
    message: EmailMessage
    secured: bool
    signed_in: bool


@dataclass
class MailServer:
    """It speaks as much SMTP as a client needs. ``answers`` replaces what it says to a word of the client.

    An answer ``drop`` closes the connection, ``silence`` says nothing, ``drip`` says a letter now and then.
    """

    answers: dict[str, str] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    connections: int = 0
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    gone: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Be there no more."""
        self.gone.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._converse(connection)
        except (OSError, ConnectionError):
            pass
        finally:
            connection.close()

    def _converse(self, connection: socket.socket) -> None:
        secured = False
        if self.implicit and self.tls:
            connection, secured = self.tls.wrap_socket(connection, server_side=True), True
        lines = connection.makefile("rb")
        sender, to, signed_in = "", [], False
        self._say(connection, "greeting", "220 mail.example at your service")
        while line := lines.readline():
            word, _, rest = line.decode().strip().partition(" ")
            word = word.upper()
            if word == "EHLO":
                more = "250-STARTTLS\r\n" if self.tls and not secured else ""
                self._say(connection, word, f"250-mail.example\r\n{more}250-AUTH PLAIN\r\n250 8BITMIME")
            elif word == "STARTTLS" and self.tls:
                connection.sendall(b"220 go on\r\n")
                connection, secured = self.tls.wrap_socket(connection, server_side=True), True
                lines = connection.makefile("rb")
            elif word == "AUTH":
                signed_in = True
                self._say(connection, word, "235 welcome")
            elif word == "MAIL":
                sender, to = rest.split("<")[1].split(">")[0], []
                self._say(connection, word, "250 ok")
            elif word == "RCPT":
                address = rest.split("<")[1].split(">")[0]
                said = self.answers.get(f"RCPT {address}", "250 ok")
                if said.startswith("250"):
                    to.append(address)
                self._say(connection, word, said)
            elif word == "DATA":
                self._say(connection, word, "354 go on")
                raw = b""
                while (part := lines.readline()) != b".\r\n":
                    raw += part[1:] if part.startswith(b"..") else part
                message = message_from_bytes(raw, policy=policy.default)
                if self.answers.get("end", "250").startswith("250"):
                    self.taken.append(Taken(sender, to, message, secured, signed_in))
                self._say(connection, "end", "250 taken")
            elif word == "QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            else:
                self._say(connection, word, "250 ok")

    def _say(self, connection: socket.socket, word: str, well: str) -> None:
        said = self.answers.get(word, well)
        if said == "drop":
            raise ConnectionError
        if said == "silence":
            self.gone.wait(20)
            raise ConnectionError
        if said == "drip":
            while not self.gone.is_set():
                connection.sendall(b"2")
                time.sleep(0.05)
        connection.sendall(said.encode() + b"\r\n")
