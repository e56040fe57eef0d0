"""What came of one POST, as a value: every failure has a name and a sentence."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

BODY_CAP = 256 * 1024
"""Of an answer's body, at most this many bytes are read."""
OUR_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}
"""What a system says of itself, not of the partner."""


class Failure(StrEnum):
    """Why there is no proper answer."""

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
    """What came of one POST.

    `failure` is None only if a whole answer came, or as much of it as is read. `detail` is one sentence,
    empty without failure. `body` holds at most `BODY_CAP` bytes, `truncated` says that there was more,
    `body_size` is the length in bytes where it is known: read, or declared where not all was read.
    `remote_address` is "ip:port". `sent` is False only if no byte of the request can have reached
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
        """The first header of this name in whatever case, empty if there is none."""
        wanted = name.lower()
        return next((value for given, value in self.headers if given.lower() == wanted), "")

    def without(self, words: Sequence[str], mask: str) -> Outcome:
        """The same with ``mask`` in place of each of these words, wherever the partner may have put them."""
        body = self.body
        for word in words:
            body = body.replace(word.encode(), mask.encode())
        grown = len(body) - len(self.body)
        return replace(
            self,
            body=body,
            # So that what is kept and what is said of its size still fit each other.
            body_size=None if self.body_size is None else max(self.body_size + grown, len(body)),
            headers=tuple((name, _without(value, words, mask)) for name, value in self.headers),
            detail=_without(self.detail, words, mask),
        )


def _without(text: str, words: Sequence[str], mask: str) -> str:
    for word in words:
        text = text.replace(word, mask)
    return text


class Stop(Exception):
    """Ends a call with a failure; passes through the libraries as it is."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(failure, detail)
        self.failure = failure
        self.detail = detail
