"""HTTP headers that the client sets for each request. No setting and no message may contain them."""

from __future__ import annotations

SET_BY_CLIENT = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
