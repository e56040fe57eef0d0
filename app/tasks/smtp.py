"""One mail to a server, with a deadline over the whole of it. It returns what came of it and never raises."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
"""``smtp`` asks for STARTTLS and takes no less; ``smtp+plain`` is for a server next door."""


class BadServer(ValueError):
    """The address of a mail server makes no sense; the text says why, without what was given."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where mails are handed in."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def at(cls, url: str) -> Server:
        """The server at ``smtp://user:password@host:port``. Errors: BadServer."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadServer("is not the address of a mail server") from error
        if parts.scheme not in PORTS or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise BadServer("is smtp://, smtps:// or smtp+plain://, perhaps user:password@, and a host")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.scheme, parts.hostname, port or PORTS[parts.scheme], user, password)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who has it, who never will, and what went wrong; whoever is neither may be tried again."""

    taken: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    trouble: str = ""


def send(server: Server, mail: EmailMessage, to: Sequence[str], *, deadline: float) -> Outcome:
    """Hand a mail in for these addresses, within ``deadline`` seconds."""
    connection: smtplib.SMTP | None = None
    late = threading.Event()

    def cut() -> None:
        late.set()
        sock = connection.sock if connection else None
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    watchdog = threading.Timer(deadline, cut)
    watchdog.daemon = True
    try:
        connection = _connection(server, mail, deadline)
        watchdog.start()
        greeting = connection.connect(server.host, server.port)
        _in_time(late)  # it may have rung while there was nothing to cut
        if greeting[0] != 220:
            raise smtplib.SMTPConnectError(*greeting)
        _prepare(connection, server)
        _in_time(late)
        refused = connection.send_message(mail, to_addrs=list(to))
        outcome = _judged(to, refused)
    except smtplib.SMTPRecipientsRefused as error:
        outcome = _judged(to, error.recipients)
    except smtplib.SMTPDataError as error:
        never = frozenset(to) if 500 <= error.smtp_code < 600 else frozenset()
        outcome = Outcome(refused=never, trouble=_said(error.smtp_code, error.smtp_error))
    except smtplib.SMTPResponseException as error:
        # A greeting, a sign-in or a sender that is refused is a setting that somebody mends.
        outcome = Outcome(trouble=_said(error.smtp_code, error.smtp_error))
    except (OSError, smtplib.SMTPException, ValueError) as error:
        outcome = Outcome(trouble=(str(error) or type(error).__name__)[:500])
    finally:
        watchdog.cancel()
        if connection is not None:
            connection.close()
    # What was cut off in mid-word reads like an answer, and is none.
    return Outcome(trouble="it took too long") if late.is_set() else outcome


def _in_time(late: threading.Event) -> None:
    if late.is_set():
        raise TimeoutError("it took too long")


def _connection(server: Server, mail: EmailMessage, deadline: float) -> smtplib.SMTP:
    # A name given here keeps the library from asking the DNS for our own.
    ours = str(mail["From"]).rpartition("@")[2].strip("> ") or "localhost"
    if server.scheme == "smtps":
        context = ssl.create_default_context()
        return _Secured(local_hostname=ours, timeout=deadline, context=context)
    return smtplib.SMTP(local_hostname=ours, timeout=deadline)


class _Secured(smtplib.SMTP_SSL):
    """As the library's, which forgets the name of the host when it is connected later."""

    def connect(
        self, host: str = "localhost", port: int = 0, source_address: object = None
    ) -> tuple[int, bytes]:
        self._host = host
        return super().connect(host, port)


def _prepare(connection: smtplib.SMTP, server: Server) -> None:
    if server.scheme == "smtp":
        connection._host = server.host  # type: ignore[attr-defined]
        connection.starttls(context=ssl.create_default_context())
    if server.user:
        connection.login(server.user, server.password)


def _judged(to: Sequence[str], refused: dict[str, tuple[int, bytes]]) -> Outcome:
    never = frozenset(one for one, (code, _) in refused.items() if 500 <= code < 600)
    trouble = "; ".join(f"{one}: {_said(*said)}" for one, said in refused.items())
    return Outcome(frozenset(to) - refused.keys(), never, trouble[:500])


def _said(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return f"{code} {text}"[:300].replace("\0", " ")
