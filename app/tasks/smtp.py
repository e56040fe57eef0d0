"""Sends one email within a deadline over the whole exchange. Returns the result and never raises."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
"""``smtp`` requires STARTTLS. ``smtp+plain`` is for a server on the same host or network."""


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def at(cls, url: str) -> Server:
        """The server of ``smtp://user:password@host:port``; the settings have checked the URL."""
        parts = urlsplit(url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme], user, password)


@dataclass(frozen=True, slots=True)
class MailResult:
    """Recipients that have the email, those rejected for good, and the error. Others can be retried."""

    accepted: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    error: str = ""


def send(server: Server, mail: EmailMessage, recipients: Sequence[str], *, deadline: float) -> MailResult:
    """Send an email to these recipients within ``deadline`` seconds."""
    watchdog = _Watchdog(deadline)
    try:
        with watchdog, closing(_connect(server, mail, watchdog)) as connection:
            if server.scheme == "smtp":
                connection.starttls(context=ssl.create_default_context())
            if server.user:
                connection.login(server.user, server.password)
            result = _result(recipients, connection.send_message(mail, to_addrs=list(recipients)))
    except smtplib.SMTPRecipientsRefused as error:
        result = _result(recipients, error.recipients)
    except smtplib.SMTPDataError as error:
        rejected = frozenset(recipients) if 500 <= error.smtp_code < 600 else frozenset()
        result = MailResult(rejected=rejected, error=_text(error))
    except (OSError, smtplib.SMTPException, ValueError) as error:
        result = MailResult(error=_text(error))
    return MailResult(error="timed out") if watchdog.has_fired else result


def domain_of(sender: str) -> str:
    """The domain of a sender such as ``PO Confirm <po@supplier.example>``."""
    return sender.rpartition("@")[2].strip("> ") or "localhost"


class _Watchdog:
    """Cuts a connection after ``seconds``. The timeout of smtplib is per read, so dripped bytes evade it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.has_fired = False
        self.connection: smtplib.SMTP | None = None
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _fire(self) -> None:
        self.has_fired = True
        if self.connection is not None and self.connection.sock is not None:
            with suppress(OSError):
                self.connection.sock.shutdown(socket.SHUT_RDWR)


class _Watched(smtplib.SMTP):
    """Registers with the watchdog before the constructor connects and reads the greeting."""

    def __init__(self, watchdog: _Watchdog, *args: Any, **options: Any) -> None:
        watchdog.connection = self
        super().__init__(*args, **options)


class _WatchedSSL(_Watched, smtplib.SMTP_SSL):
    """The same over TLS from the start."""


def _connect(server: Server, mail: EmailMessage, watchdog: _Watchdog) -> smtplib.SMTP:
    # Passing our host name avoids a DNS lookup in smtplib.
    options: dict[str, Any] = {"local_hostname": domain_of(str(mail["From"])), "timeout": watchdog.seconds}
    if server.scheme == "smtps":
        context = ssl.create_default_context()
        return _WatchedSSL(watchdog, server.host, server.port, context=context, **options)
    return _Watched(watchdog, server.host, server.port, **options)


def _result(recipients: Sequence[str], refused: dict[str, tuple[int, bytes]]) -> MailResult:
    rejected = frozenset(address for address, (code, _) in refused.items() if 500 <= code < 600)
    error = "; ".join(f"{address}: {_reply(*reply)}" for address, reply in refused.items())
    return MailResult(frozenset(recipients) - refused.keys(), rejected, error[:500])


def _text(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _reply(error.smtp_code, error.smtp_error)
    return (str(error) or type(error).__name__)[:500]


def _reply(code: int, text: bytes | str) -> str:
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {decoded}"[:300].replace("\0", " ")
