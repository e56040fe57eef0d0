"""How values are shown: money, times, states, JSON. Pure functions, joined to the templates as filters.

The functions take the reader's zone and the present as arguments; ``init_app`` gives them both.
"""

from __future__ import annotations

import decimal
import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from difflib import SequenceMatcher
from functools import lru_cache
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import simplejson
from babel import Locale
from babel.numbers import NumberPattern, parse_pattern
from flask import Flask, url_for
from markupsafe import Markup, escape
from pygments.lexers.data import JsonLexer
from pygments.token import Token, _TokenType

from app import clock, web
from app.contract.messages import ItemLine, PurchaseOrderBody
from app.contract.reader import Unreadable, read_json
from app.contract.vocabulary import DeviceTag, Kind, Status, is_known_status
from app.fields import iso_day
from app.inbound.forms import EFFECT_NAMES
from app.inbound.models import Effect, InboundMessage
from app.orders.answer import why_not_answerable
from app.orders.compare import FURTHER, HEADER, LINE, Difference, Differences, LineDifference
from app.orders.forms import OWN_NUMBER, PROMISED_DATE, STATUS_NAMES
from app.orders.models import Answer, Delivery, PurchaseOrder
from app.orders.queries import SOON
from app.orders.timeline import Event, What
from app.outbox.models import Attempt, Message, MessageState
from app.outbox.retry import Reason
from app.partners.masking import MASK

LARGEST_PRETTY = 64 * 1024 * 1024
"""Bytes: what was taken in once is shown again whatever the limit is today."""
LARGEST_COLOURED = 48 * 1024
"""Bytes of JSON that get colours; more is a wall of text anyway, and each span weighs."""

INDIA = Locale.parse("en_IN")
NO_BREAK = "\N{NO-BREAK SPACE}"


# --- Numbers


@lru_cache(maxsize=128)
def _pattern(decimals: int) -> NumberPattern:
    return parse_pattern("#,##,##0" + (f".{'0' * decimals}" if decimals else ""))


def _exact(value: object) -> Decimal | None:
    """The number in ``value``; None for what is no number. A float is a mistake of ours: TypeError."""
    if isinstance(value, float):
        raise TypeError("money and quantities are never floats")
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,64}(\.\d{1,64})?", value):
        return Decimal(value)
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return None


def _grouped(value: Decimal, fewest_decimals: int) -> str:
    decimals = max(fewest_decimals, -int(value.as_tuple().exponent))
    with decimal.localcontext(prec=300):
        return str(_pattern(decimals).apply(value, INDIA))


def money(value: object) -> str:
    """Rupees with Indian grouping: ``₹4,18,900.00``. Two decimals at least, more as they came, none rounded.

    What is no number is shown as it came; None is nothing.
    """
    number = _exact(value)
    if number is None:
        return plain(value) if value is not None else ""
    sign = "-" if number < 0 else ""
    return f"{sign}₹{_grouped(number.copy_abs(), 2)}"


def amount(value: object) -> str:
    """Money without its sign, for columns whose head names the currency."""
    return money(value).replace("₹", "")


def number(value: object) -> str:
    """A number with Indian grouping and its decimals as they came: ``1,02,093.750``."""
    exact = _exact(value)
    if exact is None:
        return plain(value) if value is not None else ""
    return _grouped(exact, 0)


def plain(value: object) -> str:
    """A JSON value as it came: no grouping, since a number may as well be a code."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def count(how_many: int, most: int = 999) -> str:
    """A count for the rail; beyond a thousand nobody reads the digits."""
    return f"{most}+" if how_many > most else str(how_many)


def things(how_many: int, one: str, many: str = "") -> str:
    """``1 line``, ``5 lines``."""
    return f"{_grouped(Decimal(how_many), 0)} {one if how_many == 1 else many or one + 's'}"


def duration(milliseconds: float | None) -> str:
    """``188 ms``, ``15.0 s``, ``2 min 5 s``; nothing where it is not known."""
    if milliseconds is None:
        return ""
    if milliseconds < 999.5:
        return f"{milliseconds:.0f}{NO_BREAK}ms" if milliseconds >= 1 else f"under 1{NO_BREAK}ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.1f}{NO_BREAK}s"
    if seconds >= 3600:
        return f"{seconds // 3600:.0f}{NO_BREAK}h {seconds % 3600 // 60:.0f}{NO_BREAK}min"
    return f"{seconds // 60:.0f}{NO_BREAK}min {seconds % 60:.0f}{NO_BREAK}s"


def size(how_many: int | None) -> str:
    """Bytes: ``612 bytes``, ``1.4 KB``; nothing where it is not known."""
    if how_many is None:
        return ""
    if how_many < 1024:
        return things(how_many, "byte")
    for unit in ("KB", "MB"):
        how_many_units = how_many / 1024 ** (1 if unit == "KB" else 2)
        if how_many_units < 1000 or unit == "MB":
            break
    return f"{how_many_units:.1f}{NO_BREAK}{unit}"


# --- Times


def _short_day(day: date) -> str:
    return f"{day.day} {day:%b}"


def moment(when: datetime, zone: ZoneInfo, now: datetime) -> str:
    """A time on the reader's clock: ``today 10:14``, ``22 Nov, 18:03``, with the year if it is another."""
    local, present = when.astimezone(zone), now.astimezone(zone)
    named = {0: "today", -1: "yesterday", 1: "tomorrow"}.get((local.date() - present.date()).days)
    if named:
        return f"{named} {local:%H:%M}"
    year = "" if local.year == present.year else f" {local.year}"
    return f"{_short_day(local.date())}{year}, {local:%H:%M}"


def exact_time(when: datetime, zone: ZoneInfo) -> str:
    """A time in full: ``Monday, 23 November 2026, 10:31:07 IST``."""
    local = when.astimezone(zone)
    return f"{local:%A}, {local.day} {local:%B %Y, %H:%M:%S %Z}"


def long_day(when: datetime, zone: ZoneInfo) -> str:
    """A day in full: ``Monday, 23 November 2026``."""
    local = when.astimezone(zone)
    return f"{local:%A}, {local.day} {local:%B %Y}"


def clock_time(when: datetime, zone: ZoneInfo) -> str:
    """The time of day to the second: ``10:31:07``."""
    return f"{when.astimezone(zone):%H:%M:%S}"


def _span(seconds: float) -> str:
    """Rounded down, so that "in 3 h" leaves at least three. static/app.js has the same steps."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 48 * 3600:
        return f"{whole // 3600} h"
    return f"{whole // 86_400} days"


def until(when: datetime, now: datetime) -> str:
    """A deadline as seen from now: ``in 3 h``, ``2 h late``."""
    seconds = (when - now).total_seconds()
    return f"in {_span(seconds)}" if seconds >= 0 else f"{_span(-seconds)} late"


def ago(when: datetime, now: datetime) -> str:
    """What is past, as seen from now: ``just now``, ``5 min ago``; what is to come: ``in 4 min``."""
    seconds = (now - when).total_seconds()
    if seconds < 0:
        return "now" if seconds > -1 else f"in {_span(-seconds)}"
    return "just now" if seconds < 10 else f"{_span(seconds)} ago"


def day(text: str, now: datetime, *, year: bool = False) -> str:
    """A date as it came, if it is one: ``24 Nov``, with the year if asked for or another; else the text."""
    when = iso_day(text)
    if when is None:
        return text
    return f"{_short_day(when)} {when.year}" if year or when.year != now.year else _short_day(when)


def for_input(when: datetime | None, zone: ZoneInfo) -> str:
    """A time as ``<input type="datetime-local">`` takes it."""
    if when is None:
        return ""
    local = when.astimezone(zone) if when.tzinfo else when
    return f"{local:%Y-%m-%dT%H:%M}"


def pace(message: Message, now: datetime) -> str:
    """How often the page asks after a message: often while something happens, seldom while it waits."""
    near = min(abs((now - at).total_seconds()) for at in (message.created_at, message.next_at) if at)
    return "2s" if near < 30 else "5s" if near < 300 else "15s"


# --- JSON


def pretty(body: bytes | str) -> str:
    """JSON with indents and exactly its numbers; what is no JSON that we read comes as text."""
    raw = body.encode("utf-8", "replace") if isinstance(body, str) else body
    try:
        value = read_json(raw, max_bytes=LARGEST_PRETTY)
    except Unreadable:
        return raw.decode("utf-8", "replace")
    return simplejson.dumps(value, use_decimal=True, ensure_ascii=False, indent=2)


def compact(value: object) -> str:
    """A JSON value on one line, with exactly its numbers."""
    return str(simplejson.dumps(value, use_decimal=True, ensure_ascii=False))


_COLOURS: Sequence[tuple[_TokenType, str]] = (
    (Token.Name.Tag, "k"),
    (Token.Literal.String, "s"),
    (Token.Literal.Number, "n"),
    (Token.Keyword, "n"),
)


def coloured(body: bytes | str) -> Markup:
    """JSON with indents, keys and values told apart. Everything in it is escaped."""
    text = pretty(body)
    if len(text) > LARGEST_COLOURED or not text.startswith(("{", "[")):
        return escape(text)
    return Markup().join(_coloured(kind, part) for kind, part in JsonLexer().get_tokens(text.strip()))


def _coloured(kind: Any, part: str) -> Markup:
    for known, name in _COLOURS:
        if kind in known:
            return Markup('<span class="{}">{}</span>').format(name, part)
    return escape(part)


def spoken(name: str) -> str:
    """A field's name as words: ``totalPOValue`` is ``Total PO value``. Names that are words stay."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,60}", name):
        return name
    parts = re.findall(r"B2B|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    words = " ".join(part if part.isupper() and len(part) > 1 else part.lower() for part in parts)
    return words[:1].upper() + words[1:]


# --- States


@dataclass(frozen=True, slots=True)
class Chip:
    """A state: ``tone`` is its shape and colour, ``words`` its name."""

    tone: str
    words: str


GIVEN = {Answer.ACCEPT: "Confirmed", Answer.REJECT: "Rejected", Answer.RETURN: "Returned for changes"}
"""What the supplier answered. Whether it arrived is told by the delivery."""
VERBS = {Answer.ACCEPT: "Confirm", Answer.REJECT: "Reject", Answer.RETURN: "Return"}
_WITHDRAWN_BY_BUYER = (Status.CANCELLED, Status.CLOSED)
_AGAIN = (Delivery.REFUSED, Delivery.FAILED, Delivery.CANCELLED)


def is_open(order: PurchaseOrder) -> bool:
    """Whether the order waits for a supplier: the rule of ``orders.queries.to_answer`` for one row."""
    if order.status != Status.CREATED:
        return False
    return order.answer in (Answer.NONE, Answer.CHANGED) or order.delivery in _AGAIN


def urgency(order: PurchaseOrder, now: datetime) -> str:
    """``late``, ``soon``, or nothing: how near the deadline of an open order is."""
    if not is_open(order):
        return ""
    if order.respond_by < now:
        return "late"
    return "soon" if order.respond_by <= now + SOON else ""


def given(response: str) -> str:
    """``Confirmed`` for ``ACCEPT``; an unknown answer as it came."""
    return GIVEN.get(Answer(response), response) if response in set(Answer) else response


def status_words(status: str) -> str:
    """What the network knows of an order, in words; an unknown status as it came."""
    return (
        STATUS_NAMES[Status(status)]
        if is_known_status(status)
        else f"“{status}”, which this app does not know"
    )


def is_answerable(order: PurchaseOrder) -> bool:
    """Whether an answer to the order's present version would be taken, as a list can tell."""
    accepts_return = order.partner.accepts_return
    return is_open(order) and why_not_answerable(order, accepts_return=accepts_return) is None


def answer_chip(order: PurchaseOrder) -> Chip:
    """What was answered, or that an answer is wanted."""
    if not is_known_status(order.status):
        return Chip("warn", "Unknown status")
    if order.status in _WITHDRAWN_BY_BUYER:  # by whom, the page says itself
        return Chip("quiet", order.status.capitalize())
    if order.answer is Answer.CHANGED:
        return Chip("warn", "Changed: answer again")
    if order.answer is Answer.NONE:
        waits = order.status == Status.CREATED
        return Chip("waiting", "To answer") if waits else Chip("quiet", STATUS_NAMES[Status(order.status)])
    return given_chip(order.answer)


def given_chip(response: str) -> Chip:
    """An answer that was given. Rejecting is a legitimate answer: it wears ink, not red."""
    return Chip("ok" if response == Answer.ACCEPT else "ink", given(response))


DELIVERIES = {
    "pending": Chip("waiting", "Waiting to be sent"),
    "retrying": Chip("waiting", "Not delivered yet"),
    "held": Chip("warn", "Held"),
    "sending": Chip("waiting", "Being sent"),
    "delivered": Chip("ok", "Delivered"),
    "refused": Chip("bad", "Refused by the network"),
    "failed": Chip("bad", "Not delivered"),
    "cancelled": Chip("quiet", "Withdrawn"),
}
_LATER = {"pending": "retrying"}


def order_delivery(order: PurchaseOrder) -> Chip | None:
    """What became of the last answer's message, as lists know it; None where nothing was sent."""
    if order.delivery is Delivery.NONE:
        return None
    if order.delivery is Delivery.PENDING:
        return DELIVERIES["held" if order.partner.paused else "retrying"]
    return DELIVERIES[order.delivery.value]


def message_chip(message: Message) -> Chip:
    """Where a message stands."""
    shown = message.state_shown
    return DELIVERIES[_LATER.get(shown, shown) if message.attempts_made else shown]


def state_words(state: str) -> str:
    """Where a message stands or stood, by the name of its state."""
    return DELIVERIES[state].words if state in DELIVERIES else state


def stands(key: str) -> str:
    """Why messages stand where they stand, from ``failed:timeout``: ``Not delivered: timed out``."""
    state, _, reason = key.partition(":")
    words = state_words(_LATER.get(state, state) if reason else state)
    return f"{words}: {_OUTCOMES[Reason(reason)].words}" if reason in set(Reason) else words


_OUTCOMES = {
    Reason.DELIVERED: Chip("ok", "accepted"),
    Reason.ALREADY_RECEIVED: Chip("ok", "had it already"),
    Reason.REFUSED_BY_PARTNER: Chip("bad", "refused"),
    Reason.REFUSED_STATUS: Chip("bad", "refused"),
    Reason.UNREADABLE_ANSWER: Chip("warn", "unreadable answer"),
    Reason.WRONG_OBJECT: Chip("warn", "another order"),
    Reason.REDIRECT: Chip("warn", "redirect"),
    Reason.CREDENTIALS: Chip("warn", "key or address"),
    Reason.GONE: Chip("warn", "gone"),
    Reason.BUSY: Chip("warn", "busy"),
    Reason.SERVER_ERROR: Chip("warn", "their error"),
    Reason.TIMEOUT: Chip("warn", "timed out"),
    Reason.NAME: Chip("warn", "name not found"),
    Reason.ADDRESS_REFUSED: Chip("warn", "address not allowed"),
    Reason.CONNECT: Chip("warn", "not reached"),
    Reason.TLS: Chip("warn", "not secure"),
    Reason.RESET: Chip("warn", "broken off"),
    Reason.ODD_ANSWER: Chip("warn", "odd answer"),
    Reason.BAD_TARGET: Chip("warn", "set up wrong"),
    Reason.INTERNAL: Chip("warn", "our fault"),
    Reason.INTERRUPTED: Chip("warn", "interrupted"),
}


def outcome_words(outcome: str) -> str:
    """What came of tries, as the head of a row: ``Timed out``."""
    words = _OUTCOMES[Reason(outcome)].words if outcome in set(Reason) else outcome
    return words[:1].upper() + words[1:]


def attempt_chip(attempt: Attempt) -> Chip:
    """What came of one try: ``200, refused``, ``timed out``."""
    if attempt.outcome is None:
        return Chip("waiting", "under way")
    known = attempt.outcome in set(Reason)
    found = _OUTCOMES[Reason(attempt.outcome)] if known else Chip("warn", attempt.outcome)
    return Chip(found.tone, f"{attempt.status}, {found.words}") if attempt.status else found


_OF_THE_CONNECTION = frozenset({"host", "content-length", "connection", "accept-encoding"})
"""Header lines that curl writes itself."""


def curl_variables(attempt: Attempt) -> dict[str, str]:
    """The shell variables that stand for a try's secrets, by the header each belongs to, in order."""
    names = dict.fromkeys(name for name, value in attempt.request_headers if MASK in value)
    return {
        name: "PARTNER_KEY" if number == 1 else f"PARTNER_KEY_{number}"
        for number, name in enumerate(names, start=1)
    }


def as_curl(message: Message, attempt: Attempt) -> str:
    """A try as a command of a shell, which runs once its secrets are in ``curl_variables``."""
    variables = curl_variables(attempt)
    parts = [f"curl -sS -X POST {shlex.quote(attempt.url)}"]
    for name, value in attempt.request_headers:
        if name.lower() in _OF_THE_CONNECTION:
            continue
        if MASK in value:
            parts.append(f"-H {shlex.quote(f'{name}: ')}" + f'"${variables[name]}"')
        else:
            parts.append(f"-H {shlex.quote(f'{name}: {value}')}")
    parts.append(f"--data-raw {shlex.quote(message.body.decode('utf-8', 'replace'))}")
    return " \\\n  ".join(parts)


def at_simulator(message: Message) -> str:
    """Where the demo's partner shows what arrived of a message; empty for every real partner.

    The setting says which address is the simulator's: nothing is guessed.
    """
    simulator = web.settings().simulator_url
    if not simulator or message.partner.base_url.rstrip("/") != simulator or not message.attempts_made:
        return ""
    return f"{simulator}/received/{message.id}"


LONGEST_COMPARED = 600
"""Lines: more of them would take long to compare, and nobody reads such a difference."""


def differences(old: str, new: str) -> list[tuple[str, str]] | None:
    """Each line as ``gone``, ``came`` or ``same``; empty where nothing differs, None if it is too long."""
    if old == new:
        return []
    before, after = old.splitlines(), new.splitlines()
    if max(len(before), len(after)) > LONGEST_COMPARED or max(len(old), len(new)) > LARGEST_COLOURED:
        return None
    found = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            found += [("same", line) for line in before[i1:i2]]
            continue
        found += [("gone", line) for line in before[i1:i2]]
        found += [("came", line) for line in after[j1:j2]]
    return found


def headers_as_text(headers: Iterable[Sequence[str]]) -> str:
    """Header lines as they travelled."""
    return "\n".join(f"{name}: {value}" for name, value in headers)


def http_phrase(status: int | None) -> str:
    """``OK`` for 200; nothing for a code that HTTP does not name."""
    try:
        return HTTPStatus(status or 0).phrase
    except ValueError:
        return ""


def lasting(note: str) -> str:
    """A message's note without what comes next: the page says that itself, and truer."""
    return re.sub(r" (The next try is [^.]*|It is (tried|not sent) again by itself)\.$", "", note)


def every_chip() -> dict[str, list[Chip]]:
    """All states that a page can show, by what they are states of."""
    answers = [Chip("waiting", "To answer"), Chip("warn", "Changed: answer again")]
    return {
        "Answer": [*answers, *(given_chip(answer.value) for answer in GIVEN), Chip("warn", "Unknown status")],
        "Order ended": [Chip("quiet", status.capitalize()) for status in _WITHDRAWN_BY_BUYER],
        "Delivery": list(DELIVERIES.values()),
        "Try": [Chip("waiting", "under way"), *_OUTCOMES.values()],
        "Received": [Chip(_EFFECT_TONES[effect], name) for effect, name in EFFECT_NAMES.items()],
    }


_EFFECT_TONES = {
    Effect.APPLIED: "ok",
    Effect.REPEATED: "quiet",
    Effect.CONFLICT: "warn",
    Effect.REFUSED: "bad",
    Effect.UNMATCHED: "warn",
    Effect.NO_CREDENTIALS: "warn",
}


def effect_chip(message: InboundMessage) -> Chip:
    """What became of a message that a partner sent."""
    return Chip(_EFFECT_TONES[message.effect], EFFECT_NAMES[message.effect])


_INBOUND_KINDS = {
    Kind.REQ_SEND: ("New order", "It brought a new order."),
    Kind.REQ_EDIT: ("Change of an order", "It made a new version of the order."),
    Kind.REQ_STATUS_CHANGE: ("Cancelled or closed", "It ended the order."),
    Kind.RESP_CONFIRM: ("Result of an answer", "It told what became of the supplier's answer."),
}


def inbound_kind(kind: str) -> str:
    """What a partner's message is about, in a few words; an unknown kind as it came."""
    return _INBOUND_KINDS[Kind(kind)][0] if kind in _INBOUND_KINDS else kind


def effect_words(message: InboundMessage) -> str:
    """What a partner's message changed, or why nothing, in a sentence."""
    if message.effect is Effect.APPLIED:
        return _INBOUND_KINDS[Kind(message.kind)][1] if message.kind in _INBOUND_KINDS else "It was applied."
    if message.effect is Effect.REPEATED:
        return "It came before; this time it changed nothing."
    why = message.again_detail or message.detail
    return f"{why.rstrip('.')}. It changed nothing." if why else "It changed nothing."


_FORM_FIELDS = {
    "supplierRemarks": "supplier_remarks",
    "supplierResponse": "supplier_response",
    "additionalInfos": "additional_infos",
    "device": "device_tag_value",
}


def refused_field(message: Message | None, infos: Sequence[Sequence[str]] = ()) -> str:
    """The field of the answer form that the network's refusal names, empty if it names none.

    ``infos`` are the further names and values that were sent: two of them have fields of their own.
    """
    if message is None or message.state is not MessageState.REFUSED:
        return ""
    path = re.split(r"[.\[\]]+", message.error_field)
    field = next((_FORM_FIELDS[step] for step in path if step in _FORM_FIELDS), "")
    if field == "additional_infos":
        place = next((int(step) for step in path if re.fullmatch(r"\d{1,3}", step)), len(infos))
        name = infos[place][0] if place < len(infos) else ""
        return {OWN_NUMBER: "supplier_order_number", PROMISED_DATE: "promised_date"}.get(name, field)
    return field


# --- What happened


@dataclass(frozen=True, slots=True)
class Happening:
    """An event as the page tells it: a few words, a sentence where they do not say it all, and its colour."""

    title: str
    note: str = ""
    tone: str = ""


_HAPPENINGS = {
    What.DELIVERED: ("Delivered to the network", ""),
    What.REFUSED: ("Refused by the network", "bad"),
    What.FAILED: ("Could not be delivered", "bad"),
    What.WITHDRAWN: ("Answer withdrawn", ""),
    What.RESULT: ("Result from the network", ""),
}


def happening(event: Event, messages: Iterable[Message] = ()) -> Happening:
    """How the page tells an event; ``messages`` are the order's, for how a result came out."""
    words = event.sentence.rstrip(".")
    if event.what in (What.SEEN, What.ANSWERED, What.ASKED):
        return Happening(f"{words.removesuffix(' by hand')} by {event.actor or 'somebody'}")
    if event.what is What.EDITED:
        title, _, note = words.partition(": ")
        return Happening(title, note and f"{note[:1].upper()}{note[1:]}.", "warn")
    if event.what is What.TRIED:
        tried = Happening("Not delivered", event.sentence, "warn")
        return Happening(words, "", "waiting") if event.sentence == "Being sent." else tried
    if event.what not in _HAPPENINGS:
        return Happening(words)
    title, tone = _HAPPENINGS[event.what]
    if event.what is What.RESULT:
        about = next((message for message in messages if message.id == event.message_id), None)
        refused = about is not None and about.state is MessageState.REFUSED
        tone, title = ("bad", "Refused by the network") if refused else ("", title)
    return Happening(title, "" if event.what is What.DELIVERED else lasting(event.sentence), tone)


# --- What changed

_FOLLOWS = {"totalAmt", "assessmentAmount", "totalItemValue", "itemValueDetails"}
"""Fields of a line that change of themselves when its quantity, price or rate does."""
_MOST_TOLD = 4
"""Differences told one by one; more are counted."""


def header_change(changes: Differences | None, path: str) -> Difference | None:
    """How a field of the order changed; None where it did not."""
    return next((one for one in changes.header if one.path == path), None) if changes else None


def line_change(changes: Differences | None, line: ItemLine) -> LineDifference | None:
    """How a line of the newest version changed; None where it did not."""
    return next((one for one in changes.lines if one.new is line), None) if changes else None


def field_change(change: LineDifference | None, path: str) -> Difference | None:
    """How a field of a changed line changed; None where it did not."""
    return next((one for one in change.fields if one.path == path), None) if change else None


def change_label(one: Difference) -> str:
    """What people call a field that changed: ``Buyer: address city``."""
    label, _, steps = one.label.partition(": ")
    return f"{label}: {' '.join(spoken(step) for step in steps.split()).lower()}" if steps else label


def change_brief(changes: Differences) -> str:
    """What changed, for a sentence: ``quantity of line 1, line 3 removed, delivery date``."""
    told = [_line_brief(line) for line in changes.lines]
    if len(told) > _MOST_TOLD:
        return changes.in_brief
    paths = dict.fromkeys(one.path.split(".")[0] for one in changes.header)
    if told:
        paths.pop("poValueDetails", None)  # the totals follow the lines
    labels = [HEADER.get(path, FURTHER if path == "additionalInfos" else path) for path in paths]
    return ", ".join([*told, *(_lower(label) for label in labels)]) or changes.in_brief


def _line_brief(line: LineDifference) -> str:
    if line.kind != "changed":
        return f"line {line.label} {line.kind}"
    paths = dict.fromkeys(one.path.split(".")[0] for one in line.fields)
    own = [path for path in paths if path not in _FOLLOWS] or list(paths)
    labels = [_lower(LINE.get(path, path)) for path in own]
    named = f"{', '.join(labels[:-1])} and {labels[-1]}" if len(labels) > 1 else labels[0]
    return f"{named} of line {line.label}"


def _lower(label: str) -> str:
    return label if label[:2].isupper() else label[:1].lower() + label[1:]


# --- Sums


@dataclass(frozen=True, slots=True)
class Sum:
    """One total of an order: as the order says it, and as its lines add up; None where either is silent."""

    words: str
    said: Decimal | None
    added: Decimal | None
    parts: tuple[tuple[str, Decimal], ...] = ()

    @property
    def shown(self) -> Decimal | None:
        """What stands in the document: the order's own number, else that of the lines."""
        return self.added if self.said is None else self.said

    @property
    def differs(self) -> bool:
        """Whether the order says one thing and its lines another."""
        return self.said is not None and self.added is not None and self.said != self.added


@dataclass(frozen=True, slots=True)
class Sums:
    """The totals of an order: taxable value, tax, total, and further values that it names."""

    taxable: Sum
    tax: Sum
    total: Sum
    further: Mapping[str, Any]

    def __iter__(self) -> Iterator[Sum]:
        return iter((self.taxable, self.tax, self.total))


TAX = re.compile(r"(GST|CESS)", re.IGNORECASE)
"""What the names of taxes have in common: IGST, CGST, SGST, UTGST, CGST+SGST, CESS."""


def sums(sent: PurchaseOrderBody) -> Sums:
    """The totals of an order, each checked against its lines."""
    named = sent.po_value_details if isinstance(sent.po_value_details, dict) else {}
    known = ("assessmentValue", "totalTaxValue", "totalPOValue")
    said = [_exact(named[name]) if not isinstance(named.get(name), str | None) else None for name in known]
    unread = {name for name, value in zip(known, said, strict=True) if value is None}
    lines = sent.item_lists
    by_type = _taxes_by_type(lines)
    return Sums(
        Sum("Taxable value", said[0], _added(line.assessment_amount for line in lines)),
        Sum("Tax", said[1], _added(line_tax(line) for line in lines), tuple(by_type.items())),
        Sum("Total", said[2], _added(line.total_item_value for line in lines)),
        {name: value for name, value in named.items() if name not in known or name in unread},
    )


def line_tax(line: ItemLine) -> Decimal | None:
    """The taxes that a line names, added up; None if it names none."""
    return _added(value for _, value in line_taxes(line)) if line_taxes(line) else None


def line_taxes(line: ItemLine) -> list[tuple[str, Decimal]]:
    """The taxes of a line by their names."""
    return [
        (detail.type.replace("_", " + "), detail.value)
        for detail in line.item_value_details or []
        if detail.type and detail.value is not None and TAX.search(detail.type)
    ]


def tax_path(name: str) -> str:
    """Where a tax of a line stands among what changed: by its name, as ``line_taxes`` gives it."""
    return f"itemValueDetails.{name.replace(' + ', '_')}"


def _taxes_by_type(lines: Iterable[ItemLine]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for line in lines:
        for kind, value in line_taxes(line):
            found[kind] = found.get(kind, Decimal(0)) + value
    return found


def _added(values: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None if there is nothing to add or any part is not known."""
    listed = list(values)
    if not listed or any(value is None for value in listed):
        return None
    return sum((value for value in listed if value is not None), Decimal(0))


LINE_SHOWN = frozenset(
    {
        "serialno",
        "product_description",
        "hsn_code",
        "quantity",
        "free_quantity",
        "unit",
        "unit_price",
        "assessment_amount",
        "gst_rate",
        "total_item_value",
    }
)
"""Fields of a line that have a place of their own in the table."""


def line_rest(line: ItemLine) -> dict[str, Any]:
    """What else came with a line, by its names on the wire, without what is empty or stands in the table."""
    rest = {name: value for name, value in line.wire().items() if value not in (None, "", [], {})}
    said = {ItemLine.model_fields[name].alias for name in LINE_SHOWN}
    if rest.get("totalAmt") == rest.get("assessmentAmount"):
        said.add("totalAmt")
    if rest.get("isService") == "N":
        said.add("isService")
    taxes = rest.get("itemValueDetails")
    if isinstance(taxes, list) and len(taxes) == len(line_taxes(line)):
        said.add("itemValueDetails")
    if rest.get("rates") == [{"type": "GST", "value": line.gst_rate}]:
        said.add("rates")
    return {name: value for name, value in rest.items() if name not in said}


def without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The mapping without these names."""
    return {name: value for name, value in values.items() if name not in names}


def is_pairs(value: object) -> bool:
    """Whether a value is a list of names and values, as the network's further information is."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and one.keys() <= {"name", "value"} for one in value)
        and all(not isinstance(part, dict | list) for one in value for part in one.values())
    )


# --- Files


def asset(app: Flask, filename: str) -> str:
    """The URL of one of our own static files, with its content in the URL, so that browsers may keep it."""
    path = Path(app.static_folder or "") / filename
    return url_for("static", filename=filename, v=_fingerprint(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=64)
def _fingerprint(path: Path, _changed_at: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def init_app(app: Flask) -> None:
    """Give the filters and functions to the templates."""
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        money=money,
        amount=amount,
        number=number,
        plain=plain,
        count_shown=count,
        things=things,
        duration=duration,
        size=size,
        moment=lambda when: moment(when, web.zone(), clock.now()),
        exact_time=lambda when: exact_time(when, web.zone()),
        long_day=lambda when: long_day(when, web.zone()),
        clock_time=lambda when: clock_time(when, web.zone()),
        until=lambda when: until(when, clock.now()),
        ago=lambda when: ago(when, clock.now()),
        day=lambda text, year=False: day(text, clock.now().astimezone(web.zone()), year=year),
        for_input=lambda when: for_input(when, web.zone()),
        pretty=pretty,
        compact=compact,
        without=without,
        coloured=coloured,
        spoken=spoken,
        tax_path=tax_path,
        given=given,
        given_chip=given_chip,
        status_words=status_words,
        answer_chip=answer_chip,
        order_delivery=order_delivery,
        message_chip=message_chip,
        attempt_chip=attempt_chip,
        as_curl=as_curl,
        at_simulator=at_simulator,
        curl_variables=curl_variables,
        stands=stands,
        state_words=state_words,
        headers_as_text=headers_as_text,
        http_phrase=http_phrase,
        lasting=lasting,
        change_brief=change_brief,
        change_label=change_label,
        effect_chip=effect_chip,
        effect_name=lambda effect: EFFECT_NAMES[effect],
        effect_words=effect_words,
        inbound_kind=inbound_kind,
        pace=lambda message: pace(message, clock.now()),
        urgency=lambda order: urgency(order, clock.now()),
    )
    app.jinja_env.tests.update(
        open_order=is_open,
        answerable=is_answerable,
        pairs=is_pairs,
        iso_day=lambda text: iso_day(text) is not None,
        past=lambda when: when <= clock.now(),
    )
    app.jinja_env.globals.update(
        differences=differences,
        header_change=header_change,
        line_change=line_change,
        field_change=field_change,
        happening=happening,
        sums=sums,
        line_taxes=line_taxes,
        line_rest=line_rest,
        refused_field=refused_field,
        present=clock.now,
        asset=lambda filename: asset(app, filename),
        package_versions={name: version(name) for name in ("bootstrap-flask", "django-js-lib-htmx")},
        device_tags=[tag.value for tag in DeviceTag],
        answer_verbs={response.value: verb for response, verb in VERBS.items()},
    )
