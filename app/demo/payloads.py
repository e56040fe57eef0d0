"""Updates of an order: its next version, its cancellation or closure, and a late result. Pure."""

import random
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from app.demo.orders import line_amounts, new_line, totals
from app.network.vocabulary import BuyerAction, Kind, Result, Status, status_after_action


class Change(StrEnum):
    """What an edit changes."""

    QUANTITY = "quantity"
    LINES = "lines"
    DATES = "dates"


class OutgoingMessage(NamedTuple):
    """One message to send, and a short description."""

    kind: Kind
    body: dict[str, Any]
    summary: str


_MOVED = " (moved)"
_REMARKS = {
    BuyerAction.CANCEL: (
        "The project is on hold",
        "Ordered twice by mistake",
        "The line was taken out of service",
    ),
    BuyerAction.CLOSE: ("Received in full", "All goods are in the stores"),
}
REFUSAL = ("BPR012", "Remarks are not acceptable", "poConfirmation.supplierRemarks")
"""The default error of a refusal: code, text, field."""


def edit_message(
    order: Mapping[str, Any], *, version: int, status: str, change: Change, rng: random.Random
) -> OutgoingMessage:
    """The next version of a `req-send` or `req-edit` body with this current version and status."""
    sent = dict(order["purchaseOrder"])
    summary = _CHANGES[change](sent, rng)
    sent |= {
        "objectVersion": {"currentVersion": version, "newVersion": version + 1},
        "poStatusTransition": {"currentStatus": status, "newStatus": Status.CREATED.value},
    }
    return OutgoingMessage(Kind.REQ_EDIT, {**order, "purchaseOrder": sent}, summary)


def status_change_message(
    order: Mapping[str, Any],
    *,
    version: int,
    status: str,
    action: BuyerAction,
    remarks: str = "",
    rng: random.Random,
) -> OutgoingMessage:
    """The cancellation or closure of an order, whether or not its status allows it."""
    sent, new = order["purchaseOrder"], status_after_action(action)
    remarks = remarks or rng.choice(_REMARKS[action])
    body = {
        "device": order["device"],
        "b2bIds": order["b2bIds"],
        "poStatus": {
            "objectId": sent["objectId"],
            "buyerPONumber": sent["buyerPONumber"],
            "objectVersion": {"currentVersion": version, "newVersion": version},
            "buyerAction": action.value,
            "buyerRemarks": remarks,
            "poStatusTransition": {"currentStatus": status, "newStatus": str(new)},
        },
        "additionalInfos": [],
    }
    summary = "Canceled" if action is BuyerAction.CANCEL else "Closed"
    return OutgoingMessage(Kind.REQ_STATUS_CHANGE, body, f"{summary}: {remarks}")


def late_result_message(
    confirmation: Mapping[str, Any],
    *,
    req_msg_id: str,
    result: Result,
    error: tuple[str, str, str] = REFUSAL,
) -> OutgoingMessage:
    """The late result of a `req-confirm` accepted as `req_msg_id`; `error` is for FAILURE only."""
    code, detail, field = error if result is Result.FAILURE else ("", "", "")
    body = {
        "b2bIds": confirmation["b2bIds"],
        "resp": {
            "reqMsgId": req_msg_id,
            "result": result.value,
            "errorCd": code,
            "errorDtl": detail,
            "errorField": field,
        },
        "poConfirmation": confirmation["poConfirmation"],
        "additionalInfos": confirmation["additionalInfos"],
    }
    summary = "Late result: success" if result is Result.SUCCESS else f"Late result: failure, {detail}"
    return OutgoingMessage(Kind.RESP_CONFIRM, body, summary)


def _change_quantity(order: dict[str, Any], rng: random.Random) -> str:
    lines = [dict(line) for line in order["itemLists"]]
    countable = [line for line in lines if _is_number(line.get("quantity"))]
    if not countable:
        return _change_dates(order, rng)
    line = rng.choice(countable)
    old = Decimal(line["quantity"])
    new = (old * rng.choice((Decimal("0.5"), Decimal("1.5"), Decimal(2)))).quantize(
        Decimal(1).scaleb(_places(old))
    )
    if new in (old, 0):
        new = old + 1
    line["quantity"] = int(new) if _places(old) == 0 else new
    _reprice(line)
    _put_lines(order, lines)
    return f"Line {line.get('serialno') or '?'}: {old:f} becomes {new:f} {line.get('unit') or ''}".rstrip()


def _change_lines(order: dict[str, Any], rng: random.Random) -> str:
    lines = [dict(line) for line in order["itemLists"]]
    removed = lines.pop(rng.randrange(len(lines))) if lines else {}
    all_lines = [removed, *lines]
    added = new_line(
        rng,
        1 + max((_whole_number(line.get("serialno")) for line in all_lines), default=0),
        _same_state(order),
    )
    # A reference is never reused for another article.
    reference = 10 + max((_whole_number(line.get("orderLineReference")) for line in all_lines), default=0)
    lines.append(added | {"orderLineReference": f"{reference:05}"})
    _put_lines(order, lines)
    description = removed.get("productDescription") or "nothing"
    return f"Removed: {description}. Added: {added['productDescription']}"


def _change_dates(order: dict[str, Any], rng: random.Random) -> str:
    subject = order["subject"]
    order["subject"] = subject.removesuffix(_MOVED) if subject.endswith(_MOVED) else subject + _MOVED
    summary = f"Subject: {order['subject']}"
    before = _day(order["deliveryDate"]) or _day(order["orderDate"])
    if before is None:
        return summary
    order["deliveryDate"] = (before + timedelta(days=rng.choice((-3, 4, 7, 14)))).isoformat()
    return f"Deliver by {order['deliveryDate']} instead of {before}. {summary}"


_CHANGES = {Change.QUANTITY: _change_quantity, Change.LINES: _change_lines, Change.DATES: _change_dates}


def _put_lines(order: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    order["itemLists"] = lines
    try:
        order["poValueDetails"] = dict(order.get("poValueDetails") or {}) | totals(lines)
    except (KeyError, TypeError):
        return  # an order without amounts has no totals


def _reprice(line: dict[str, Any]) -> None:
    """Recalculate the amounts from quantity and price, if the line has both."""
    price, rate = line.get("unitPrice"), line.get("gstRate")
    if not (price and rate and _is_number(price) and _is_number(rate)):
        return
    amounts, tax = line_amounts(line["quantity"], Decimal(price), Decimal(rate))
    line |= amounts
    if details := line.get("itemValueDetails"):
        line["itemValueDetails"] = [{**details[0], "value": tax}]


def _same_state(order: Mapping[str, Any]) -> bool:
    states = [(order.get(party) or {}).get("stateCode") for party in ("supplierDetails", "buyerDetails")]
    return states[0] == states[1]


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _places(number: Decimal) -> int:
    return min(0, int(number.as_tuple().exponent))


def _whole_number(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10 else 0


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
