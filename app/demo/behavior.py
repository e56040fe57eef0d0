"""How the partner behaves when an answer arrives: well, or in one of the ways in which partners fail."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple


class Way(NamedTuple):
    """One way to treat an answer: what the page calls it, and one sentence on what comes of it."""

    name: str
    sentence: str


GROUPS: dict[str, dict[str, Way]] = {
    "All well": {
        "ok": Way("Takes the answer", "200 and SUCCESS: both sides agree."),
        "slow": Way("Takes it slowly", "The same good answer, but some seconds late."),
    },
    "It says no": {
        "refuse": Way("Refuses the remarks", "200, yet FAILURE: the order must be answered in other words."),
        "400": Way("400, malformed", "It cannot read the message; sending the same again would not help."),
        "401": Way("401, wrong key", "Our key is not known there: three in a row pause this partner."),
        "403": Way("403, not allowed", "The key is known, but may not do this; treated like a wrong key."),
        "404": Way("404, wrong address", "Nothing lives at this address; treated like a wrong key."),
        "409": Way("409, duplicate", "It claims to have an answer already."),
        "410": Way("410, gone", "It wants no more messages: this partner is paused."),
        "429": Way("429, too many", "Not now: tried again, after the wait that Retry-After asks for."),
        "500": Way(
            "500, broken", "It fell over while it read; tried again, since nobody knows what it kept."
        ),
        "503": Way("503, down", "It is being mended: tried again later, by itself."),
        "redirect": Way("Redirects elsewhere", "302 to another address, which is never followed."),
        "status": Way("Any other status", "The status that you choose under More options, else 500."),
    },
    "It takes the answer, but its reply goes wrong": {
        "timeout": Way("Never replies", "Silence until the sender gives up waiting."),
        "reset": Way("Drops the connection", "It hangs up before a word was said."),
        "cut": Way("Drops it in mid-reply", "It hangs up halfway through its reply."),
        "drip": Way("Replies byte by byte", "So slowly that no single wait is long, but the whole is."),
        "empty": Way("An empty reply", "200 and not a word."),
        "html": Way("A web page", "200 and a friendly page, as some gateways have it."),
        "broken_json": Way("Half a JSON", "200 and JSON that stops in the middle."),
        "wrong_object": Way("Names another order", "A fine success, for an order that nobody asked about."),
        "huge": Way("64 MiB of reply", "A reply that never seems to end."),
    },
}
"""Every mode and what the page says of it, as the page groups them."""
MODES: dict[str, str] = {mode: way.name for group in GROUPS.values() for mode, way in group.items()}

_ALIASES = {"": "ok", "fail": "500", "error": "500", "down": "503", "unavailable": "503", "failure": "refuse"}
_STATUSES = {"redirect": 302}
_SECONDS = {"slow": 3.0, "timeout": 60.0, "drip": 30.0}
SECONDS_MAX = 600.0
TIMES_MAX = 100_000
_TEXT_MAX = 500


class UnknownBehaviour(ValueError):
    """The request for a behaviour cannot be followed; the text says why."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way to answer, for the next `times` answers or (None) until another is chosen."""

    mode: str = "ok"
    times: int | None = None
    seconds: float = 0.0
    status: int = 200
    retry_after: str = ""
    error_cd: str = ""
    error_dtl: str = ""
    error_field: str = ""

    @property
    def takes(self) -> bool:
        """Whether the partner takes a good answer, whatever the sender gets to hear of it."""
        return self.mode != "refuse" and self.status < 300

    def after_one(self) -> "Behaviour":
        """The behaviour once it was shown one more time."""
        if self.times is None:
            return self
        return replace(self, times=self.times - 1) if self.times > 1 else Behaviour()


def read_behaviour(values: Mapping[str, Any]) -> Behaviour:
    """A behaviour from a form or a JSON object, spelling forgiven. Raises UnknownBehaviour."""
    mode = _mode(str(values.get("mode", "")))
    if mode == "status":
        status = _whole(values, "status", 200, 599) or 500
    elif _is_status(mode):
        status = int(mode)
    else:
        status = _STATUSES.get(mode, 200)
    return Behaviour(
        mode=mode,
        times=_whole(values, "times", 1, TIMES_MAX),
        seconds=_seconds(values, _SECONDS.get(mode, 0.0)),
        status=status,
        retry_after=_text(values, "retry_after"),
        error_cd=_text(values, "error_cd"),
        error_dtl=_text(values, "error_dtl"),
        error_field=_text(values, "error_field"),
    )


def _is_status(text: str) -> bool:
    return re.fullmatch("[2-5][0-9]{2}", text) is not None


def _mode(given: str) -> str:
    name = re.sub(r"[\s_-]+", "_", given.strip().lower())
    name = _ALIASES.get(name, name)
    squeezed = {mode.replace("_", ""): mode for mode in MODES}
    found = squeezed.get(name.replace("_", ""))
    if found is None and _is_status(name):
        return name
    if found is None:
        raise UnknownBehaviour(f"There is no such mode; the modes are {', '.join(MODES)}.")
    return found


def _whole(values: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    text = str(values.get(name) if values.get(name) is not None else "").strip()
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise UnknownBehaviour(f"{name} must be a whole number from {least} to {most}.")
    return int(text)


def _seconds(values: Mapping[str, Any], otherwise: float) -> float:
    text = str(values.get("seconds") if values.get("seconds") is not None else "").strip()
    try:
        seconds = float(text) if text else otherwise
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= SECONDS_MAX:
        raise UnknownBehaviour(f"seconds must be a number from 0 to {SECONDS_MAX:.0f}.")
    return seconds


def _text(values: Mapping[str, Any], name: str) -> str:
    text = str(values.get(name) if values.get(name) is not None else "").strip()
    if len(text) > _TEXT_MAX or not text.isprintable():
        raise UnknownBehaviour(f"{name} must be one line of at most {_TEXT_MAX} characters.")
    return text
