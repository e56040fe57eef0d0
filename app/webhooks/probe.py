"""The way to a partner, step by step: name, addresses, connection, certificate. Each failure is a value.

It sends no request. The sender does all of this itself and at once; here each step is seen by itself.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import certifi

from app.delivery.address_policy import Network, may_connect, plain_address
from app.partners.certificates import BadCertificate, Certificate, read_der

NAME_SECONDS = 5.0
CONNECT_SECONDS = 5.0
TLS_SECONDS = 6.0
"""For one handshake; with one that failed, a second reads what certificate it was."""


@dataclass(frozen=True, slots=True)
class Way:
    """How far one gets. A field is None where its step was not reached, an error is one phrase."""

    host: str
    port: int
    secure: bool
    addresses: tuple[str, ...] = ()
    name_error: str = ""
    refused: tuple[str, ...] = ()
    connected: str | None = None
    connect_ms: float | None = None
    connect_error: str = ""
    tls_version: str | None = None
    certificate: Certificate | None = None
    tls_error: str = ""

    @property
    def allowed(self) -> tuple[str, ...]:
        """The addresses that may be connected to."""
        return tuple(one for one in self.addresses if one not in self.refused)


@dataclass(frozen=True, slots=True)
class Tls:
    """What the secure connection is made with: file names."""

    certificate: tuple[str, str] | None = None
    ca_bundle: str | None = None


def way_to(url: str, allowed: Sequence[Network], tls: Tls) -> Way:
    """Go the way to this URL as far as it leads, within about 20 seconds. Never raises for what it meets."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    found, error = _addresses(host, port)
    refused = tuple(one for one in found if not may_connect(one, allowed))
    way = Way(host, port, secure, addresses=found, name_error=error, refused=refused)
    if not way.allowed:
        return way
    started = time.perf_counter()
    connection, where, problem = _connect(way.allowed, port)
    if connection is None:
        return replace(way, connect_error=problem)
    way = replace(way, connected=where, connect_ms=(time.perf_counter() - started) * 1000)
    with connection:
        return _secured(way, connection, tls) if secure else way


def _secured(way: Way, connection: socket.socket, tls: Tls) -> Way:
    version, certificate, problem = _shake_hands(connection, way.host, tls)
    if problem and certificate is None and way.connected:
        certificate = _unverified(way.connected, way)
    return replace(way, tls_version=version, certificate=certificate, tls_error=problem)


def _addresses(host: str, port: int) -> tuple[tuple[str, ...], str]:
    literal = plain_address(host)
    if literal is not None:
        return (str(literal),), ""
    looked_up: Future[list[str]] = Future()
    threading.Thread(target=_look_up, args=(host, port, looked_up), daemon=True).start()
    try:
        return tuple(dict.fromkeys(looked_up.result(NAME_SECONDS))), ""
    except TimeoutError:
        return (), f"no answer within {NAME_SECONDS:g} s"
    except (OSError, UnicodeError) as error:
        return (), getattr(error, "strerror", None) or str(error)


def _look_up(host: str, port: int, looked_up: Future[list[str]]) -> None:
    # A look-up cannot be interrupted, so it is left behind where it takes too long.
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        looked_up.set_result([str(where[0]) for _, _, _, _, where in found])
    except Exception as error:
        looked_up.set_exception(error)


def _connect(addresses: Sequence[str], port: int) -> tuple[socket.socket | None, str, str]:
    problem = ""
    for address in addresses[:3]:
        try:
            return (
                socket.create_connection((address, port), CONNECT_SECONDS / len(addresses[:3])),
                address,
                "",
            )
        except TimeoutError:
            problem = problem or f"{address} did not answer"
        except OSError as error:
            problem = problem or f"{address}: {(error.strerror or str(error)).lower()}"
    return None, "", problem


def _shake_hands(
    connection: socket.socket, host: str, tls: Tls
) -> tuple[str | None, Certificate | None, str]:
    try:
        context = _context(tls)
    except (OSError, ssl.SSLError) as error:
        return None, None, f"the certificates kept here cannot be used: {error}"
    try:
        with (
            _cut_after(TLS_SECONDS, connection),
            context.wrap_socket(connection, server_hostname=host) as secure,
        ):
            return secure.version(), _shown(secure), ""
    except ssl.SSLCertVerificationError as error:
        return None, None, error.verify_message.rstrip(".")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None)
        words = str(reason).replace("_", " ").lower() if reason else getattr(error, "strerror", None)
        return None, None, str(words or error or "the partner closed the connection")


def _unverified(address: str, way: Way) -> Certificate | None:
    """The certificate that was not accepted, read without trusting it: to say what is wrong with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        contextlib.suppress(OSError, ValueError),
        socket.create_connection((address, way.port), CONNECT_SECONDS) as connection,
        _cut_after(TLS_SECONDS, connection),
        context.wrap_socket(connection, server_hostname=way.host) as secure,
    ):
        return _shown(secure)
    return None


def _shown(secure: ssl.SSLSocket) -> Certificate | None:
    der = secure.getpeercert(binary_form=True)
    try:
        return read_der(der) if der else None
    except BadCertificate:
        return None


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=tls.ca_bundle or certifi.where())
    if tls.certificate:
        context.load_cert_chain(*tls.certificate, password="")
    return context


@contextmanager
def _cut_after(seconds: float, connection: socket.socket) -> Iterator[None]:
    """End the connection after this time, however slowly it drips."""
    lifeline = connection.dup()

    def cut() -> None:
        with contextlib.suppress(OSError):
            lifeline.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        lifeline.close()
