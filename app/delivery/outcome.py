"""The result of one HTTP call: an HTTP response, or a named failure with one sentence of detail."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

BODY_CAP = 256 * 1024
"""Bytes of a response body that are read and stored."""
LOCAL_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}
"""Errors that say this machine ran out of something. They are not the partner's fault."""


class Failure(StrEnum):
    """Why there is no usable HTTP response."""

    TIMEOUT = "timeout"
    NAME = "name"
    ADDRESS = "address"
    CONNECT = "connect"
    TLS = "tls"
    RESET = "reset"
    ODD_ANSWER = "odd_answer"
    BAD_TARGET = "bad_target"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one POST.

    `failure` is None only if a whole response arrived, or as much of it as is read. `detail` is one sentence,
    empty without failure. `body` holds at most `BODY_CAP` bytes, `truncated` says that there was more, and
    `body_size` is the length in bytes where it is known: the bytes read, or the declared length where not all
    was read. `remote_address` is "ip:port". `sent` is False only if no byte of the request can have reached
    the partner.
    """

    failure: Failure | None
    detail: str
    status: int | None
    headers: tuple[tuple[str, str], ...]
    body: bytes
    body_size: int | None
    truncated: bool
    remote_address: str | None
    duration_ms: float
    sent: bool

    def header(self, name: str) -> str:
        """Return the first header of this name (case-insensitive), or an empty string."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), "")

    def without(self, secrets: Sequence[str], mask: str) -> Outcome:
        """Return a copy with ``mask`` in place of each secret in the body, the headers and the detail."""
        body = self.body
        for secret in secrets:
            body = body.replace(secret.encode(), mask.encode())
        growth = len(body) - len(self.body)
        return replace(
            self,
            body=body,
            # The stored size must still match the stored bytes.
            body_size=None if self.body_size is None else max(self.body_size + growth, len(body)),
            headers=tuple((name, _masked(value, secrets, mask)) for name, value in self.headers),
            detail=_masked(self.detail, secrets, mask),
        )


def _masked(text: str, secrets: Sequence[str], mask: str) -> str:
    for secret in secrets:
        text = text.replace(secret, mask)
    return text


class SendAborted(Exception):
    """Ends a call with a failure. It is no OSError, so `requests` and urllib3 let it pass unchanged."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(failure, detail)
        self.failure = failure
        self.detail = detail
