"""Rejects requests for an untrusted host, so that no page or link repeats a foreign Host header.

Flask's ``TRUSTED_HOSTS`` is not used: it is case-sensitive and accepts no IPv6 address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from app.config import Settings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def trusted_names(settings: Settings) -> frozenset[str]:
    """Loopback, the host of ``PO_PUBLIC_URL``, and ``PO_TRUSTED_HOSTS``."""
    public = urlsplit(settings.public_url).hostname
    return LOOPBACK | set(settings.trusted_hosts) | ({public} if public else set())


class TrustedHosts:
    """WSGI middleware that responds 400 in one line for any other host."""

    def __init__(self, app: Callable[..., Iterable[bytes]], names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Pass the request on if its host is trusted."""
        host = environ.get("HTTP_HOST")
        if host_name(host) in self._names or (host is None and environ.get("SERVER_PROTOCOL") == "HTTP/1.0"):
            return self._app(environ, start_response)
        return _reject(start_response)


def host_name(host: str | None) -> str | None:
    """The host without its port, in lower case; None if it is not a valid ``Host`` header."""
    if not host or any(character in host for character in "/\\@?# \t,"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - raises ValueError if it is out of range
    except ValueError:
        return None
    return parts.hostname


def _reject(start_response: Callable[..., Any]) -> list[bytes]:
    body = b"Unknown host. Set PO_PUBLIC_URL or PO_TRUSTED_HOSTS.\n"
    start_response(
        "400 Bad Request",
        [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))],
    )
    return [body]
