"""How the simulated partner responds to a webhook: normally, or with one of many failures."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from app.demo.values import BadValue, seconds, text, whole_number


class ResponseMode(NamedTuple):
    """One way to respond: its label on the page, and a sentence about what it does."""

    label: str
    description: str


GROUPS: dict[str, dict[str, ResponseMode]] = {
    "Success": {
        "ok": ResponseMode("Accept (200)", "200 and SUCCESS."),
        "slow": ResponseMode("Accept slowly", "200 and SUCCESS after a few seconds."),
    },
    "Errors": {
        "refuse": ResponseMode("Refuse the remarks", "200 and FAILURE: the order needs another response."),
        "400": ResponseMode("400 Bad request", "Not retried: the payload would be refused again."),
        "401": ResponseMode("401 Wrong key", "Three in a row pause the partner."),
        "403": ResponseMode("403 Forbidden", "Treated like a wrong key."),
        "404": ResponseMode("404 Not found", "Treated like a wrong key."),
        "409": ResponseMode("409 Duplicate", "Claims that a response was received before."),
        "410": ResponseMode("410 Gone", "Pauses the partner."),
        "429": ResponseMode("429 Too many requests", "Retried after the time in Retry-After."),
        "500": ResponseMode("500 Crashed", "Retried; the partner may have received it."),
        "503": ResponseMode("503 Down for maintenance", "Retried later."),
        "redirect": ResponseMode("302 Redirect", "Never followed."),
        "status": ResponseMode("Other status", "The status under More options, or 500."),
    },
    "Faulty replies": {
        "timeout": ResponseMode("No reply", "Sends nothing until the sender times out."),
        "reset": ResponseMode("Connection closed", "Closes the connection before replying."),
        "cut": ResponseMode(
            "Connection closed mid-reply", "Closes the connection halfway through the reply."
        ),
        "drip": ResponseMode("Byte by byte", "Sends the reply so slowly that the call times out."),
        "empty": ResponseMode("Empty body", "200 without a body."),
        "html": ResponseMode("HTML page", "200 with a web page instead of JSON."),
        "broken_json": ResponseMode("Truncated JSON", "200 with JSON that ends in the middle."),
        "wrong_object": ResponseMode("Wrong order", "A success reply about another order."),
        "huge": ResponseMode("64 MiB reply", "A reply that exceeds every size limit."),
    },
}
"""All response modes, grouped as on the page."""
MODES: dict[str, str] = {name: mode.label for group in GROUPS.values() for name, mode in group.items()}

_ALIASES = {"": "ok", "fail": "500", "error": "500", "down": "503", "unavailable": "503", "failure": "refuse"}
_STATUSES = {"redirect": 302}
_SECONDS = {"slow": 3.0, "timeout": 60.0, "drip": 30.0}
SECONDS_MAX = 600.0
TIMES_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Behavior:
    """A response mode with its options, for the next `times` responses, or until it is changed (None)."""

    mode: str = "ok"
    times: int | None = None
    seconds: float = 0.0
    status: int = 200
    retry_after: str = ""
    error_cd: str = ""
    error_dtl: str = ""
    error_field: str = ""

    @property
    def accepts(self) -> bool:
        """Whether the partner records a valid message, even if its reply is faulty."""
        return self.mode != "refuse" and self.status < 300

    def after_one(self) -> "Behavior":
        """The behavior after one more response."""
        if self.times is None:
            return self
        return replace(self, times=self.times - 1) if self.times > 1 else Behavior()


def read_behavior(values: Mapping[str, Any]) -> Behavior:
    """The behavior that a form or a JSON object describes, forgiving spelling. Raises BadValue."""
    mode = _mode(str(values.get("mode", "")))
    if mode == "status":
        status = whole_number(values, "status", 200, 599) or 500
    elif _is_status(mode):
        status = int(mode)
    else:
        status = _STATUSES.get(mode, 200)
    return Behavior(
        mode=mode,
        times=whole_number(values, "times", 1, TIMES_MAX),
        seconds=seconds(values, 0.0, SECONDS_MAX, _SECONDS.get(mode, 0.0)),
        status=status,
        retry_after=text(values, "retry_after"),
        error_cd=text(values, "error_cd"),
        error_dtl=text(values, "error_dtl"),
        error_field=text(values, "error_field"),
    )


def _is_status(mode: str) -> bool:
    return re.fullmatch("[2-5][0-9]{2}", mode) is not None


def _mode(entered: str) -> str:
    name = re.sub(r"[\s_-]+", "_", entered.strip().lower())
    name = _ALIASES.get(name, name)
    modes_by_name = {mode.replace("_", ""): mode for mode in MODES}
    mode = modes_by_name.get(name.replace("_", ""))
    if mode is None and _is_status(name):
        return name
    if mode is None:
        raise BadValue(f"Unknown mode. The modes are {', '.join(MODES)}.")
    return mode
