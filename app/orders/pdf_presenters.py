"""An order as a PDF: the order as received, or with its response an order acknowledgment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.delivery.models import Message
from app.network.reference_codes import gst_state_label, unit_name
from app.network.vocabulary import SupplierResponse
from app.orders.document_presenters import (
    DocumentView,
    LineView,
    TotalView,
    address_line,
    document_view,
    phone_number,
)
from app.orders.line_presenters import LineResponseView, line_response_views, response_summary
from app.orders.line_responses import LineAction, LineResponse, from_json
from app.orders.lines import OrderedLine, line_amounts, ordered_lines, responses_by_reference
from app.orders.models import Decision, PurchaseOrder
from app.orders.order_content import Document
from app.orders.presenters import info_label, response_label
from app.ui.bodies import compact, field_label
from app.ui.numbers import amount, number, plain, pluralize
from app.ui.pdf import ACCENT, MARGIN, MUTED, WARNING, WIDTH, Column, Text, printable
from app.ui.pdf import Document as Pdf
from app.ui.times import day, exact_time
from app.webhooks.presenters import message_chip

LINES_MAX = 5000
"""Lines of one document; it says how many more the order has."""
FACTS_MAX = 80
"""Facts below the lines, such as terms and custom fields; the document says that there are more."""
ADDRESSES_MAX = 3
INFOS_MAX = 20
"""Custom fields of a response in the document."""
MORE_FIELDS = "There are more fields in PO Confirm."
CONTACT_MAX = 160
"""Characters of one line of a party's contact data."""
COLUMNS = (
    Column("#", 12),
    Column("Item", 66),
    Column("Quantity", 26, "R"),
    Column("Price", 24, "R"),
    Column("Tax", 22, "R"),
    Column("Amount, ₹", 30, "R"),
)


@dataclass(frozen=True, slots=True)
class OrderPdf:
    """The content of the document. ``decision`` is the response in effect, with its webhook, if any."""

    order: PurchaseOrder
    content: Document
    decision: Decision | None
    message: Message | None
    zone: ZoneInfo
    now: datetime

    @property
    def title(self) -> str:
        """What the document is."""
        return "Order acknowledgment" if self.decision else "Purchase order"


def pdf_name(pdf_data: OrderPdf) -> str:
    """The name of the file, such as ``order-acknowledgment-KAV-2611-45024-v1.pdf``."""
    name = f"{pdf_data.title} {pdf_data.order.buyer_po_number} v{pdf_data.order.version}"
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-').replace(' ', '-')}.pdf"


def order_pdf(pdf_data: OrderPdf) -> bytes:
    """The document."""
    order, sent = pdf_data.order, pdf_data.content.sent
    made = exact_time(pdf_data.now, pdf_data.zone)
    pdf = Pdf(
        title=f"{pdf_data.title} {order.buyer_po_number}",
        author=order.supplier_name if pdf_data.decision else order.buyer_name,
        note=f"{order.buyer_po_number}, version {order.version}. Made with PO Confirm on {made}.",
        created_at=pdf_data.now,
    )
    view = document_view(pdf_data.content, None)
    responses = [from_json(line) for line in pdf_data.decision.lines] if pdf_data.decision else []
    _letterhead(pdf, pdf_data)
    _parties(pdf, pdf_data)
    if pdf_data.decision:
        _response(pdf, pdf_data, pdf_data.decision, responses)
    _lines(pdf, view, ordered_lines(sent), responses)
    _totals(pdf, pdf_data, view.totals, responses)
    _facts_below(pdf, view)
    return bytes(pdf.output())


# --- The head


def _letterhead(pdf: Pdf, pdf_data: OrderPdf) -> None:
    """The party that issues the document, the title and the PO number."""
    order, sent = pdf_data.order, pdf_data.content.sent
    if pdf_data.decision:
        name, details = order.supplier_name, sent.supplier_details
    else:
        name, details = order.buyer_name, sent.buyer_details
    left = pdf.block(
        [
            Text(_party_name(details, name), 15, bold=True),
            *(Text(line, 8, color=MUTED) for line in _contact(details)),
        ],
        MARGIN,
        MARGIN,
        108,
    )
    right = pdf.block(
        [
            Text(pdf_data.title, 12, bold=True, color=ACCENT),
            Text(order.buyer_po_number, 12, bold=True),
            Text(printable(sent.subject, CONTACT_MAX), 8, color=MUTED),
        ],
        MARGIN + 112,
        MARGIN + 0.8,
        WIDTH - 112,
        "R",
    )
    pdf.set_y(max(left, right) + 1)
    pdf.rule(2)
    _facts_row(pdf, _head_facts(pdf_data))


def _head_facts(pdf_data: OrderPdf) -> list[tuple[str, str]]:
    order, sent = pdf_data.order, pdf_data.content.sent
    facts = [
        ("Order date", day(sent.order_date, pdf_data.now, year=True)),
        ("Deliver by", day(sent.delivery_date, pdf_data.now, year=True)),
        ("Version", str(order.version)),
        ("Order ID", order.object_id),
    ]
    if not pdf_data.decision:
        local = order.respond_by.astimezone(pdf_data.zone)
        facts.insert(
            2, ("Respond by", f"{day(local.date().isoformat(), pdf_data.now, year=True)}, {local:%H:%M}")
        )
    return facts


def _facts_row(pdf: Pdf, facts: Sequence[tuple[str, str]]) -> None:
    """Facts side by side; the last one gets the remaining width."""
    top, ends, width = pdf.get_y(), [], 32.0
    for place, (label, value) in enumerate(facts):
        own = WIDTH - width * place if place == len(facts) - 1 else width - 2
        texts = [Text(label, 7.5, color=MUTED), Text(value, 9, bold=place < len(facts) - 1)]
        ends.append(pdf.block(texts, MARGIN + width * place, top, own))
    pdf.set_y(max(ends) + 1)
    pdf.rule(2)


def _contact(party: Any) -> list[str]:
    """The address and the identifiers of a party, line by line."""
    if not party:
        return []
    lines = [address_line(party.address) if party.address else ""]
    lines.append(f"GSTIN {party.gstin}" if party.gstin else "")
    return [printable(line, CONTACT_MAX) for line in (*lines, party.email, phone_number(party)) if line]


def _parties(pdf: Pdf, pdf_data: OrderPdf) -> None:
    order, sent = pdf_data.order, pdf_data.content.sent
    supply = sent.buyer_details and sent.buyer_details.place_of_supply
    buyer = [*_contact(sent.buyer_details), order.buyer_b2b_id]
    if supply:
        buyer.insert(-1, f"Place of supply: {gst_state_label(supply)}")
    blocks = [
        ("Buyer", _party_name(sent.buyer_details, order.buyer_name), buyer),
        (
            "Supplier",
            _party_name(sent.supplier_details, order.supplier_name),
            [*_contact(sent.supplier_details), order.supplier_b2b_id],
        ),
    ]
    for detail in (sent.address_details or [])[:ADDRESSES_MAX]:
        kind = (detail.address_type or "Address").replace("_", " ").capitalize()
        address = printable(address_line(detail.address), CONTACT_MAX) if detail.address else ""
        blocks.append((kind, "", [address]))
    top = pdf.get_y()
    ends: list[float] = []
    for place, (title, name, lines) in enumerate(blocks):
        x = MARGIN + (place % 3) * 62.0
        if place == 3:
            top = max(ends) + 2
        texts = [Text(title, 7.5, color=MUTED), Text(name, 9, bold=True), *(Text(line, 8) for line in lines)]
        ends.append(pdf.block(texts, x, top, 56))
    pdf.set_y(max(ends) + 4)


def _party_name(party: Any, name: str) -> str:
    return printable((party and party.legal_name) or name, CONTACT_MAX)


# --- The response


def _response(pdf: Pdf, pdf_data: OrderPdf, decision: Decision, responses: Sequence[LineResponse]) -> None:
    """The response in a shaded box."""
    changes = " with changes" if responses and decision.response != SupplierResponse.REJECT else ""
    tone = ACCENT if decision.response == SupplierResponse.ACCEPT and not changes else WARNING
    at = exact_time(decision.decided_at, pdf_data.zone)
    texts = [
        Text(f"{response_label(decision.response)}{changes}", 12, bold=True, color=tone),
        Text(f"by {decision.person_name}, {at}", 8, color=MUTED),
    ]
    if responses:
        sent = pdf_data.content.sent
        sentence = response_summary(sent, responses, decision.response, pdf_data.order.supplier_name).sentence
        texts.append(Text(sentence, 9))
    texts.append(Text(f"Remarks: {decision.remarks}", 9))
    for name, value in decision.infos[:INFOS_MAX]:
        info = f"{info_label(name)}: {day(value, pdf_data.now, year=True)}"
        texts.append(Text(printable(info, CONTACT_MAX), 9))
    if len(decision.infos) > INFOS_MAX:
        texts.append(Text(MORE_FIELDS, 8, color=MUTED))
    if pdf_data.message:
        texts.append(Text(f"Delivery to the partner: {message_chip(pdf_data.message).label}", 8, color=MUTED))
    pdf.panel(texts)


# --- The lines


def _lines(
    pdf: Pdf, view: DocumentView, ordered: Sequence[OrderedLine], responses: Sequence[LineResponse]
) -> None:
    by_reference = responses_by_reference(responses)
    views = {row.reference: row for row in line_response_views(responses, ordered)}
    pdf.open_table(COLUMNS)
    for line, source in list(zip(view.lines, ordered, strict=True))[:LINES_MAX]:
        response = by_reference.get(source.reference)
        pdf.row(_line_cells(line, source, response, views.get(source.reference)))
    pdf.close_table()
    if not view.lines:
        pdf.paragraph(Text("This order has no lines.", color=MUTED))
    if (more := len(view.lines) - LINES_MAX) > 0:
        pdf.paragraph(
            Text(f"The list is cut: {pluralize(more, 'more line')} in PO Confirm.", bold=True, color=WARNING)
        )


def _line_cells(
    line: LineView, source: OrderedLine, response: LineResponse | None, view: LineResponseView | None
) -> list[list[Text]]:
    item = [Text(line.description.text), Text(line.details, 7, color=MUTED)]
    if line.free:
        item.append(Text(f"and {line.free} free", 7, color=MUTED))
    unit = Text(unit_name(line.unit), 7, color=MUTED)
    quantity = [Text(f"{line.quantity.text} {line.unit}"), unit]
    price = [Text(line.price.text)]
    rate = f"{line.rate.text} " if line.rate else ""
    tax = [*(Text(cell.text) for cell in line.taxes)]
    tax.append(Text(f"{rate}{line.first_tax}{line.more_taxes}", 7, color=MUTED))
    total = [Text(line.amount.text, bold=True)]
    if line.net:
        total.append(Text(f"net {line.net}", 7, color=MUTED))
    if response and view:
        is_rejected = response.response is LineAction.REJECTED
        item.append(Text(view.chip.label, 8, bold=True, color=WARNING))
        item += [Text(fact, 8) for fact in view.facts]
        if view.remarks:
            item.append(Text(f"Reason: {view.remarks}", 8))
        if is_rejected or response.quantity is not None:
            confirmed = "0" if is_rejected else number(response.quantity)
            quantity = [Text(f"{confirmed} {line.unit}"), _ordered(number(source.item.quantity)), unit]
        if response.unit_price is not None:
            price = [Text(amount(response.unit_price)), _ordered(amount(source.item.unit_price))]
        if view.ordered_amount:
            total = [Text(view.amount.replace("₹", ""), bold=True), _ordered(line.amount.text)]
            tax = [Text(amount(line_amounts(source.item, response).tax)), tax[-1]]
    numbers = [Text(line.number), *([Text(line.reference, 7, color=MUTED)] if line.reference else [])]
    return [numbers, item, quantity, price, tax, total]


def _ordered(text: str) -> Text:
    return Text(f"ordered {text}" if text else "", 7, color=MUTED)


def _totals(
    pdf: Pdf, pdf_data: OrderPdf, totals: Sequence[TotalView], responses: Sequence[LineResponse]
) -> None:
    """The totals, beside those of the response where it changes lines."""
    if responses and pdf_data.decision:
        rows = response_summary(pdf_data.content.sent, responses, pdf_data.decision.response).rows
        pdf.amounts([(label, (before, after)) for label, before, after, _ in rows], ("Ordered", "Response"))
    else:
        pdf.amounts([(f"{total.label} {total.note}".strip(), (total.value.text,)) for total in totals], [])
    for total in totals:
        if total.mismatch:
            pdf.paragraph(Text(f"{total.label} does not match the lines. {total.mismatch}", 8, color=WARNING))


# --- What follows the lines


def _facts_below(pdf: Pdf, view: DocumentView) -> None:
    """Terms and other sections as names and values."""
    left = FACTS_MAX
    for title, value in view.sections.items():
        facts = [fact for _, fact in zip(range(left + 1), _flat(value), strict=False)]
        if not facts:
            continue
        pdf.make_space(14)
        pdf.paragraph(Text(title, 9.5, bold=True), gap=0.5)
        for name, text in facts[:left]:
            pdf.paragraph(Text(f"{name}: {text}" if name else text, 8), gap=0)
        pdf.set_y(pdf.get_y() + 3)
        left -= len(facts)
        if left < 0:
            pdf.paragraph(Text(MORE_FIELDS, 8, color=MUTED))
            return


def _flat(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """The leaves of a section: a name made of the names on the way, and the value."""
    if depth > 5:
        yield name, compact(value)
    elif isinstance(value, Mapping):
        if value.keys() <= {"name", "value"} and not isinstance(value.get("value"), Mapping | list):
            yield field_label(plain(value.get("name") or "")), plain(value.get("value"))
            return
        for key, part in value.items():
            yield from _flat(
                part, f"{name}, {field_label(key).lower()}" if name else field_label(key), depth + 1
            )
    elif isinstance(value, list):
        for part in value:
            yield from _flat(part, name, depth + 1)
    elif value not in (None, ""):
        yield name, plain(value)
