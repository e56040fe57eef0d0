"""The result of one HTTP call: an HTTP response, or a named failure with its details."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from app.partners.masking import MASK, masker

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
    MALFORMED_RESPONSE = "odd_answer"
    BAD_TARGET = "bad_target"
    INTERNAL = "internal"


PARAM_MAX = 600
"""Maximum length of a text among the parameters of a detail, in characters."""


class DetailCode(StrEnum):
    """What exactly went wrong. The comments name the parameters; ``presenters`` has the sentences."""

    NONE = ""
    # host, seconds: how far the call got until its deadline
    NAME_TIMEOUT = "name_timeout"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS_TIMEOUT = "tls_timeout"
    RESPONSE_TIMEOUT = "response_timeout"
    BODY_TIMEOUT = "body_timeout"
    # host, cause
    LOOKUP_FAILED = "lookup_failed"
    LOOKUPS_BUSY = "lookups_busy"
    # addresses
    ADDRESS_FORBIDDEN = "address_forbidden"
    # host, addresses
    HOST_FORBIDDEN = "host_forbidden"
    # address, cause
    NOT_CONNECTED = "not_connected"
    CONNECTION_REFUSED = "connection_refused"
    # cause
    CONNECTION_FAILED = "connection_failed"
    # host, cause
    HANDSHAKE_FAILED = "handshake_failed"
    # host
    HANDSHAKE_CLOSED = "handshake_closed"
    # cause
    TLS_FAILED = "tls_failed"
    CERTIFICATES_UNUSABLE = "certificates_unusable"
    CONNECTION_CLOSED = "connection_closed"
    CLOSED_DURING_REQUEST = "closed_during_request"
    CLOSED_WITHOUT_RESPONSE = "closed_without_response"
    # kib
    OVERHEAD_TOO_LARGE = "overhead_too_large"
    CHUNK_SIZE_INVALID = "chunk_size_invalid"
    HEADERS_CUT = "headers_cut"
    # bytes
    BODY_CUT = "body_cut"
    # status
    STATUS_INVALID = "status_invalid"
    ENCODING_UNKNOWN = "encoding_unknown"
    LENGTH_INVALID = "length_invalid"
    HEADERS_UNREADABLE = "headers_unreadable"
    # quote
    START_INVALID = "start_invalid"
    # cause
    HEADERS_INVALID = "headers_invalid"
    # seconds
    DEADLINE_INVALID = "deadline_invalid"
    # cause
    URL_INVALID = "url_invalid"
    URL_INCOMPLETE = "url_incomplete"
    URL_WITH_USER = "url_with_user"
    URL_WITH_ZONE = "url_with_zone"
    # name
    HEADER_CHARACTERS = "header_characters"
    HEADER_RESERVED = "header_reserved"
    # cause
    INTERNAL_ERROR = "internal_error"
    OUT_OF_RESOURCE = "out_of_resource"
    # url; also status of a refusal, and error if the endpoint named one
    OAUTH_TIMEOUT = "oauth_timeout"
    OAUTH_UNREACHABLE = "oauth_unreachable"
    OAUTH_REFUSED = "oauth_refused"
    OAUTH_ERROR = "oauth_error"
    OAUTH_MISSING = "oauth_missing"
    OAUTH_NOT_BEARER = "oauth_not_bearer"
    # text: from a version that stored sentences.
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Detail:
    """A code with its parameters. ``for_token`` among them says that the call was the request for a token."""

    code: DetailCode = DetailCode.NONE
    params: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, code: DetailCode, **params: Any) -> Self:
        """The code with parameters that every database accepts: what libraries say may quote anything."""
        return cls(code, {name: _storable(value) for name, value in params.items()})

    def masked(self, mask: Callable[[str], str]) -> Self:
        """The same with ``mask`` applied to each text."""
        texts = {
            name: mask(value) if isinstance(value, str) else value for name, value in self.params.items()
        }
        return replace(self, params=texts)


def _storable(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value[:PARAM_MAX].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class CallResult:
    """The result of one POST.

    `failure` is None only if a whole response arrived, or as much of it as is read. `detail` says more
    about a failure. `body` holds at most `BODY_CAP` bytes, `truncated` says that there was more, and
    `body_size` is the length in bytes where it is known: the bytes read, or the declared length where not all
    was read. `remote_address` is "ip:port". `sent` is False only if no byte of the request can have reached
    the partner.
    """

    failure: Failure | None
    detail: Detail
    status: int | None
    headers: tuple[tuple[str, str], ...]
    body: bytes
    body_size: int | None
    truncated: bool
    remote_address: str | None
    duration_ms: float
    sent: bool

    def header(self, name: str) -> str:
        """The first header of this name (case-insensitive), or an empty string."""
        lower_name = name.lower()
        return next((value for key, value in self.headers if key.lower() == lower_name), "")

    def masked(self, secrets: tuple[str, ...]) -> CallResult:
        """The same with the secrets masked: a partner may send back what it received.

        Cookies are secrets of the partner, and nobody needs them here.
        """
        mask = masker(secrets)
        body = mask.data(self.body)
        headers = tuple(
            (name, MASK if name.lower() == "set-cookie" else mask.text(value)) for name, value in self.headers
        )
        if body == self.body and headers == self.headers and not self.detail.params:
            return self
        growth = len(body) - len(self.body)
        return replace(
            self,
            body=body,
            # The stored size must still match the stored bytes.
            body_size=None if self.body_size is None else max(self.body_size + growth, len(body)),
            headers=headers,
            detail=self.detail.masked(mask.text),
        )


class SendAborted(Exception):
    """Ends a call with a failure. It is not an OSError, so `requests` and urllib3 let it pass unchanged."""

    def __init__(self, failure: Failure, code: DetailCode = DetailCode.NONE, **params: Any) -> None:
        super().__init__(failure, code, params)
        self.failure = failure
        self.detail = Detail.of(code, **params)
