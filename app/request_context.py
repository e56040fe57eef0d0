"""The ID of the request that the current work belongs to, also in a background job that a request started."""

from __future__ import annotations

from structlog.contextvars import bind_contextvars, get_contextvars, unbind_contextvars

ID_MAX = 64
"""Maximum length of a request ID, in characters."""


def set_request_id(request_id: str | None) -> None:
    """Attribute this thread's work and log lines to a request from now on; None stops that."""
    if request_id is None:
        unbind_contextvars("request_id")
    else:
        bind_contextvars(request_id=request_id)


def current_request_id() -> str | None:
    """The ID of the request that caused the current work; None for work that no request caused."""
    request_id: str | None = get_contextvars().get("request_id")
    return request_id
