"""A mail server on a real socket that can be set to fail."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class ReceivedMail:
    """A mail that the server accepted."""

    sender: str
    to: list[str]
    message: EmailMessage
    secured: bool
    signed_in: bool


@dataclass
class MailServer:
    """A small SMTP server. ``replies`` maps a command to the reply that replaces the normal one.

    ``drop`` closes the connection, ``silence`` sends nothing, ``drip`` sends a character at a time.
    """

    replies: dict[str, str] = field(default_factory=dict)
    received: list[ReceivedMail] = field(default_factory=list)
    connections: int = 0
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self.closed.set()
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
            self._run_session(connection)
        except (OSError, ConnectionError):
            pass
        finally:
            connection.close()

    def _run_session(self, connection: socket.socket) -> None:
        secured = False
        if self.implicit and self.tls:
            connection, secured = self.tls.wrap_socket(connection, server_side=True), True
        lines = connection.makefile("rb")
        sender, signed_in = "", False
        to: list[str] = []
        self._reply(connection, "greeting", "220 mail.example at your service")
        while line := lines.readline():
            command, _, rest = line.decode().strip().partition(" ")
            command = command.upper()
            if command == "EHLO":
                more = "250-STARTTLS\r\n" if self.tls and not secured else ""
                self._reply(connection, command, f"250-mail.example\r\n{more}250-AUTH PLAIN\r\n250 8BITMIME")
            elif command == "STARTTLS" and self.tls:
                connection.sendall(b"220 go on\r\n")
                connection, secured = self.tls.wrap_socket(connection, server_side=True), True
                lines = connection.makefile("rb")
            elif command == "AUTH":
                signed_in = True
                self._reply(connection, command, "235 welcome")
            elif command == "MAIL":
                sender, to = rest.split("<")[1].split(">")[0], []
                self._reply(connection, command, "250 ok")
            elif command == "RCPT":
                address = rest.split("<")[1].split(">")[0]
                reply = self.replies.get(f"RCPT {address}", "250 ok")
                if reply.startswith("250"):
                    to.append(address)
                self._reply(connection, command, reply)
            elif command == "DATA":
                self._reply(connection, command, "354 go on")
                raw = b""
                while (part := lines.readline()) != b".\r\n":
                    raw += part[1:] if part.startswith(b"..") else part
                message = message_from_bytes(raw, policy=policy.default)
                if self.replies.get("end", "250").startswith("250"):
                    self.received.append(ReceivedMail(sender, to, message, secured, signed_in))
                self._reply(connection, "end", "250 taken")
            elif command == "QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            else:
                self._reply(connection, command, "250 ok")

    def _reply(self, connection: socket.socket, command: str, default: str) -> None:
        reply = self.replies.get(command, default)
        if reply == "drop":
            raise ConnectionError
        if reply == "silence":
            self.closed.wait(20)
            raise ConnectionError
        if reply == "drip":
            while not self.closed.is_set():
                connection.sendall(b"2")
                time.sleep(0.05)
        connection.sendall(reply.encode() + b"\r\n")
