"""Order checks: facts to consider before responding. None of them blocks a response.

A check is a code with parameters; ``check_presenters`` turns it into a sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from statistics import median_low

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Person
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.network.messages import PurchaseOrderBody
from app.network.vocabulary import Status
from app.orders.lines import ordered_lines
from app.orders.models import OrderCheckDismissal, OrderItem, PurchaseOrder
from app.orders.order_items import earlier_items, items_of, orders_with_item
from app.orders.totals import order_totals

LINES_MAX = 200
"""Lines of an order that are checked."""
ITEMS_MAX = 40
"""Different items of an order that are looked up: it bounds the queries of a page."""
HISTORY = 12
"""Earlier lines that an item is compared with."""
USUAL_FROM = 3
"""The minimum number of earlier orders before anything counts as unusual."""
SOONER_DAYS = 3
"""A delivery is sooner than usual if it is due this many days before every earlier one."""
QUANTITY_FACTOR = 2
"""A quantity is unusual above the largest earlier one times this, or below the smallest divided by it."""
DUPLICATE_CANDIDATES_MAX = 20
GSTIN_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
UNREGISTERED = "URP"
"""Written instead of a GSTIN for an unregistered person."""


class CheckKind(StrEnum):
    """What a check is about."""

    PRICE = "price"
    QUANTITY = "quantity"
    SOONER = "sooner"
    HSN = "hsn"
    GST_RATE = "gst_rate"
    DUPLICATE = "duplicate"
    TOTAL = "total"
    GSTIN = "gstin"


@dataclass(frozen=True, slots=True)
class Check:
    """One fact. ``kind`` and ``reference`` identify it within a version of the order.

    ``reference`` is that of the line, the name of a total, the party of a GSTIN or the id of a duplicate.
    ``line`` is the number of the line; empty for a fact about the whole order. ``other`` is what it is
    compared with.
    """

    kind: CheckKind
    reference: str
    line: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    other: PurchaseOrder | None = None


def order_checks(session: Session, order: PurchaseOrder) -> list[Check]:
    """The facts about an order, which was loaded with its versions: those about lines first."""
    body = order.content
    items = items_of(session, order.id, LINES_MAX)
    return [
        *_item_checks(session, items, body),
        *_duplicates(session, order, items),
        *_total_checks(body),
        *_gstin_checks(body),
    ]


# --- Dismissals


def dismissals(session: Session, order: PurchaseOrder) -> dict[tuple[str, str], OrderCheckDismissal]:
    """The dismissed checks of the order's current version, by kind and reference."""
    query = select(OrderCheckDismissal).where(
        OrderCheckDismissal.order_id == order.id, OrderCheckDismissal.version == order.version
    )
    return {(dismissal.kind, dismissal.reference): dismissal for dismissal in session.scalars(query)}


def dismiss(session: Session, order: PurchaseOrder, check: Check, *, note: str, by: Person) -> None:
    """Dismiss a check of the order's current version; a check that was already dismissed keeps its note.

    ``order`` is locked for update, so that two people do not dismiss it at the same time.
    """
    if (check.kind, check.reference) in dismissals(session, order):
        return
    session.add(
        OrderCheckDismissal(
            order_id=order.id,
            version=order.version,
            kind=check.kind,
            reference=check.reference,
            note=note,
            person_id=by.id,
            person_name=by.display_name,
            dismissed_at=clock.now(),
        )
    )
    session.flush()
    trail.record(
        session,
        AuditAction.CHECK_DISMISSED,
        AuditObject.ORDER,
        order.id,
        name=order.buyer_po_number,
        by=by.display_name,
        reason=note,
        after=_audit_fields(check, order.version),
    )


def _audit_fields(check: Check, version: int) -> dict[str, object]:
    """What the audit trail records of a dismissed check."""
    return {
        "check": check.kind.value,
        "reference": check.reference,
        "version": version,
        **check.params,
        **({"compared with": check.other.buyer_po_number} if check.other else {}),
    }


# --- Lines against earlier orders


def _item_checks(session: Session, items: Sequence[OrderItem], body: PurchaseOrderBody) -> Iterator[Check]:
    lines = ordered_lines(body)
    known: dict[str, Sequence[tuple[OrderItem, PurchaseOrder]]] = {}
    for item in items:
        if item.item_key not in known:
            if len(known) >= ITEMS_MAX:
                continue
            known[item.item_key] = earlier_items(session, item, HISTORY)
        earlier = known[item.item_key]
        if earlier and item.line_index < len(lines):
            line = lines[item.line_index]
            for kind, params in compare_item(item, [row for row, _ in earlier]):
                yield Check(kind, line.reference, line.number, params, earlier[0][1])


def compare_item(item: OrderItem, earlier: Sequence[OrderItem]) -> Iterator[tuple[CheckKind, dict[str, str]]]:
    """What differs from the same item in earlier orders, newest first; there is at least one."""
    last = earlier[0]
    if item.unit_price and last.unit_price and item.unit == last.unit and item.unit_price != last.unit_price:
        yield CheckKind.PRICE, {"now": item.unit_price, "before": last.unit_price}
    if item.hsn_code and last.hsn_code and item.hsn_code != last.hsn_code:
        yield CheckKind.HSN, {"now": item.hsn_code, "before": last.hsn_code}
    if item.gst_rate and last.gst_rate and item.gst_rate != last.gst_rate:
        yield CheckKind.GST_RATE, {"now": item.gst_rate, "before": last.gst_rate}
    if len({row.order_id for row in earlier}) < USUAL_FROM:
        return
    quantities = [Decimal(row.quantity) for row in earlier if row.quantity and row.unit == item.unit]
    if item.quantity and quantities:
        quantity, least, most = Decimal(item.quantity), min(quantities), max(quantities)
        if quantity > most * QUANTITY_FACTOR or quantity * QUANTITY_FACTOR < least:
            yield (
                CheckKind.QUANTITY,
                {"now": item.quantity, "unit": item.unit, "least": f"{least:f}", "most": f"{most:f}"},
            )
    waits = [row.lead_days for row in earlier if row.lead_days is not None]
    if item.lead_days is not None and waits and item.lead_days <= min(waits) - SOONER_DAYS:
        usual = median_low(waits)
        yield CheckKind.SOONER, {"days": str(usual - item.lead_days), "usual": str(usual)}


# --- The whole order


def _duplicates(session: Session, order: PurchaseOrder, items: Sequence[OrderItem]) -> Iterator[Check]:
    """The newest other open order of the same buyer with the same items and quantities."""
    if not items or len(items) != order.line_count:
        return
    for other in orders_with_item(session, items[0], DUPLICATE_CANDIDATES_MAX):
        if (other.status, other.line_count) != (Status.CREATED, order.line_count):
            continue
        if _content(items_of(session, other.id, LINES_MAX)) == _content(items):
            yield Check(CheckKind.DUPLICATE, str(other.id), other=other)
            return


def _content(items: Sequence[OrderItem]) -> Counter[tuple[str, str | None, str]]:
    return Counter((item.item_key, item.quantity, item.unit) for item in items)


def _total_checks(body: PurchaseOrderBody) -> Iterator[Check]:
    for total in order_totals(body):
        if total.differs:
            params = {"stated": f"{total.stated:f}", "calculated": f"{total.calculated:f}"}
            yield Check(CheckKind.TOTAL, total.kind.value, params=params)


def _gstin_checks(body: PurchaseOrderBody) -> Iterator[Check]:
    for party, details in (("buyer", body.buyer_details), ("supplier", body.supplier_details)):
        gstin = details.gstin.strip().upper() if details and details.gstin else ""
        if gstin and gstin != UNREGISTERED and (problem := gstin_problem(gstin)):
            yield Check(CheckKind.GSTIN, party, params={"gstin": gstin[:40], "problem": problem.value})


class GstinProblem(StrEnum):
    """Why a text is not a valid GSTIN."""

    FORMAT = "format"
    CHECK_DIGIT = "check_digit"


def gstin_problem(text: str) -> GstinProblem | None:
    """What is wrong with a GSTIN; None if it has the right form and check digit."""
    if not re.fullmatch(r"\d{2}[A-Z0-9]{13}", text, re.ASCII):
        return GstinProblem.FORMAT
    total = 0
    for index, character in enumerate(text[:14]):
        quotient, rest = divmod(GSTIN_CHARACTERS.index(character) * (1 + index % 2), 36)
        total += quotient + rest
    return None if text[14] == GSTIN_CHARACTERS[-total % 36] else GstinProblem.CHECK_DIGIT
