"""The paths of the API, which PO Confirm and its partners share, and the header for the API key."""

from __future__ import annotations

import re

API_PATH = "/api/v0/purchase-order/"
"""Below the base URL of the receiver; the kind of the message follows."""
KEY_HEADER = "X-Partner-Key"
"""The header with the API key of the partner that sends us a message."""


def is_api_path(path: str) -> bool:
    """Whether a path belongs to the API, also with repeated slashes or in other case."""
    return re.sub("/+", "/", f"{path}/").lower().startswith("/api/")
