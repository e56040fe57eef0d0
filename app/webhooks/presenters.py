"""Sentences and commands about messages, ours and the partners'."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from http import HTTPStatus

from app.delivery.models import Attempt, Message, MessageState
from app.inbound.models import Effect, InboundMessage
from app.network.vocabulary import Kind
from app.orders.forms import OWN_NUMBER, PROMISED_DATE
from app.partners.masking import MASK
from app.ui import web

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
