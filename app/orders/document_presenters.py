"""The purchase order as a document: table cells with old and new values, and summaries of changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.network.messages import ItemLine, ReqSend
from app.network.text import pluralize
from app.orders.comparison import (
    HEADER,
    LINE,
    Difference,
    Differences,
    LineDifference,
)
from app.orders.totals import Total, TotalKind, Totals, line_taxes, order_totals
from app.ui.bodies import field_label, without
from app.ui.numbers import amount, money, number, plain

TOTAL_LABELS = {
    TotalKind.TAXABLE: "Taxable value",
    TotalKind.TAX: "Tax",
    TotalKind.TOTAL: "Total",
}
_GST_PARTS = frozenset({"CGST", "SGST", "UTGST", "IGST"})
"""The parts of GST that partners join with an underscore."""
_DERIVED_FIELDS = {"totalAmt", "assessmentAmount", "totalItemValue", "itemValueDetails"}
"""Fields of a line that follow from its quantity, price and rate."""
_COLUMN_FIELDS = frozenset(
    {"quantity", "unit", "unitPrice", "gstRate", "totalItemValue", "productDescription", "assessmentAmount"}
)
"""Fields of a line whose changes are shown in their own column."""
_SHOWN_FIELDS = _COLUMN_FIELDS | {"serialno", "hsnCode", "freeQuantity"}
"""Fields of a line that the table shows."""
_TERM_FIELDS = ("subject", "orderDate", "deliveryDate", *(f"poValueDetails.{kind}" for kind in TotalKind))
"""Fields of the order whose changes are shown where the field is."""
_BRIEF_MAX = 4
"""Up to this many changed lines are listed one by one; more are counted."""
EMPTY: tuple[Any, ...] = (None, "", [], {})
"""Values that are not shown."""
LINES_SHOWN = 100
"""Lines per page of the document."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A value, and the earlier one: None if the value did not change, an empty text if there was none."""

    text: str
    old: str | None = None

    @property
    def is_changed(self) -> bool:
        """Whether the buyer changed the value."""
        return self.old is not None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A changed field outside the columns; ``new`` is None where it was removed."""

    label: str
    old: str
    new: str | None


@dataclass(frozen=True, slots=True)
class LineView:
    """A row of the line table. ``kind`` is added, changed, removed or empty."""

    number: str
    kind: str
    description: Cell
    quantity: Cell
    unit: str
    price: Cell
    amount: Cell
    reference: str = ""
    details: str = ""
    free: str = ""
    taxes: Sequence[Cell] = ()
    rate: Cell | None = None
    first_tax: str = ""
    more_taxes: str = ""
    net: str = ""
    changes: Sequence[FieldChange] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TotalView:
    """A row of the totals; ``mismatch`` is set where the lines add up to another number."""

    label: str
    note: str
    value: Cell
    is_last: bool
    mismatch: str


@dataclass(frozen=True, slots=True)
class LinePages:
    """Which lines are shown: page ``number`` of ``count``, from line ``first`` to ``last`` of ``total``."""

    number: int
    count: int
    first: int
    last: int
    total: int


@dataclass(frozen=True, slots=True)
class DocumentView:
    """Everything the document shows that depends on values or changes.

    ``pages`` is None if all lines are shown. Otherwise ``elsewhere`` are changed lines of other pages; it
    and ``removed`` are then limited to a page.
    """

    subject: Cell
    order_date: Cell
    delivery_date: Cell
    lines: Sequence[LineView]
    elsewhere: Sequence[LineView]
    removed: Sequence[LineView]
    pages: LinePages | None
    totals: Sequence[TotalView]
    changes: Sequence[FieldChange]
    sections: Mapping[str, Any]


def document_view(message: ReqSend, changes: Differences | None, page: int | None = None) -> DocumentView:
    """The document of an order, with ``changes`` marked; None marks nothing.

    ``page`` is a page of lines, the nearest one if it does not exist; None shows all lines.
    """
    body = message.purchase_order
    count = len(body.item_lists)
    pages = None if page is None or count <= LINES_SHOWN else line_pages(page, count, LINES_SHOWN)
    shown = slice(pages.first - 1, pages.last) if pages else slice(None)
    most = LINES_SHOWN if pages else None
    header = {change.path: change for change in changes.header} if changes else {}
    line_changes = list(changes.lines) if changes else []
    by_line = {id(change.new): change for change in line_changes}
    numbered = list(enumerate(body.item_lists, 1))
    on_page = {position for position, _ in numbered[shown]}
    elsewhere = [
        (position, line) for position, line in numbered if position not in on_page and id(line) in by_line
    ]
    removed = [change for change in line_changes if change.kind == "removed"]
    totals = order_totals(body)
    return DocumentView(
        subject=_cell(body.subject, header.get("subject"), plain),
        order_date=_cell(body.order_date, header.get("orderDate"), plain),
        delivery_date=_cell(body.delivery_date, header.get("deliveryDate"), plain),
        lines=[_line_view(line, position, by_line.get(id(line))) for position, line in numbered[shown]],
        elsewhere=[_line_view(line, position, by_line[id(line)]) for position, line in elsewhere[:most]],
        removed=[_removed_view(change) for change in removed[:most]],
        pages=pages,
        totals=[_total_view(total, header) for total in totals if total.value is not None],
        changes=_field_changes(change for path, change in header.items() if path not in _TERM_FIELDS),
        sections=_sections(message, totals),
    )


def line_pages(page: int, total: int, size: int) -> LinePages:
    """The page with this number, or the nearest one; ``size`` is the number of lines of a page."""
    count = max(-(-total // size), 1)
    number = min(max(page, 1), count)
    first = (number - 1) * size + 1
    return LinePages(number, count, first, min(first + size - 1, total), total)


def change_brief(changes: Differences) -> str:
    """The changes as part of a sentence: ``quantity of line 1, line 3 removed, delivery date``."""
    lines = [_line_brief(line) for line in changes.lines]
    if len(lines) > _BRIEF_MAX:
        return change_counts(changes)
    parts = _changed_parts(changes)
    if lines:
        parts.pop("poValueDetails", None)  # the totals follow from the lines
    return ", ".join([*lines, *parts.values()]) or change_counts(changes)


def change_counts(changes: Differences) -> str:
    """The changes as a clause that counts lines: ``2 lines changed, 1 added; delivery date, subject``."""
    counter = Counter(line.kind for line in changes.lines)
    lines = line_counts([(counter[kind], kind) for kind in ("changed", "added", "removed")])
    parts = ", ".join(_changed_parts(changes).values())
    return "; ".join(filter(None, (lines, parts))) or "no visible changes"


def line_counts(counts: Iterable[tuple[int, str]]) -> str:
    """The counts above zero as text: ``2 lines changed, 1 added``."""
    named = [(count, what) for count, what in counts if count]
    texts = [
        f"{count if index else pluralize(count, 'line')} {what}" for index, (count, what) in enumerate(named)
    ]
    return ", ".join(texts)


def _changed_parts(changes: Differences) -> dict[str, str]:
    """The changed parts of the order outside its lines: wire names and labels for use in a sentence."""
    names = (change.path.split(".")[0] for change in changes.header)
    return {name: _lower(HEADER.get(name, name)) for name in names}


def _line_brief(line: LineDifference) -> str:
    if line.kind != "changed":
        return f"line {line.label} {line.kind}"
    paths = dict.fromkeys(change.path.split(".")[0] for change in line.fields)
    own = [path for path in paths if path not in _DERIVED_FIELDS] or list(paths)
    labels = [_lower(LINE.get(path, path)) for path in own]
    joined = f"{', '.join(labels[:-1])} and {labels[-1]}" if len(labels) > 1 else labels[0]
    return f"{joined} of line {line.label}"


def _lower(label: str) -> str:
    return label if label[:2].isupper() else label[:1].lower() + label[1:]


def _cell(value: Any, change: Difference | None, show: Any) -> Cell:
    text = show(value) if value is not None else ""
    if change is None:
        return Cell(text)
    return Cell(text, show(change.old) if change.old is not None else "")


def _field_changes(changes: Iterable[Difference]) -> list[FieldChange]:
    return [
        FieldChange(
            _change_label(change),
            "" if change.old is None else plain(change.old),
            None if change.new is None else plain(change.new),
        )
        for change in changes
    ]


def _change_label(change: Difference) -> str:
    """The label of a changed field: ``Buyer: address city``."""
    label, _, steps = change.label.partition(": ")
    return f"{label}: {' '.join(field_label(step) for step in steps.split()).lower()}" if steps else label


def _line_view(line: ItemLine, position: int, change: LineDifference | None) -> LineView:
    fields = {item.path: item for item in change.fields} if change else {}
    taxes = line_taxes(line)
    paths = [f"itemValueDetails.{name}" for name, _ in taxes]
    extras = _line_extras(line)
    is_service = extras.get("isService") == "Y"
    tax_names = [_tax_label(name) for name, _ in taxes] or ([] if line.gst_rate is None else ["GST"])
    reference = line.order_line_reference or ""
    other_changes = [
        item for path, item in fields.items() if path not in {*_COLUMN_FIELDS, "totalAmt", *paths}
    ]
    return LineView(
        number=line.serialno or str(position),
        reference=reference if reference != line.serialno else "",
        kind=change.kind if change else "",
        description=_cell(
            line.product_description or "No description", fields.get("productDescription"), plain
        ),
        details=" · ".join(_line_details(line, is_service=is_service)),
        changes=_field_changes(other_changes),
        extras=without(extras, "orderLineReference", "originCountry", "isService" if is_service else ""),
        quantity=_quantity(line, fields),
        unit=line.unit or "",
        free=number(line.free_quantity) if line.free_quantity else "",
        price=_cell(line.unit_price, fields.get("unitPrice"), amount),
        taxes=[_cell(value, fields.get(path), amount) for (_, value), path in zip(taxes, paths, strict=True)],
        rate=None if line.gst_rate is None else _cell(line.gst_rate, fields.get("gstRate"), _percent),
        first_tax=tax_names[0] if tax_names else "",
        more_taxes="".join(f" + {name}" for name in tax_names[1:]),
        amount=_cell(line.total_item_value, fields.get("totalItemValue"), amount),
        net="" if line.assessment_amount is None else amount(line.assessment_amount),
    )


def _line_extras(line: ItemLine) -> dict[str, Any]:
    """The fields of a line that have no column in the table, by wire name, without empty and implied ones."""
    extras = {name: value for name, value in line.wire().items() if value not in EMPTY}
    shown = set(_SHOWN_FIELDS)
    if extras.get("totalAmt") == extras.get("assessmentAmount"):
        shown.add("totalAmt")
    if extras.get("isService") == "N":
        shown.add("isService")
    taxes = extras.get("itemValueDetails")
    if isinstance(taxes, list) and len(taxes) == len(line_taxes(line)):
        shown.add("itemValueDetails")
    if extras.get("rates") == [{"type": "GST", "value": line.gst_rate}]:
        shown.add("rates")
    return {name: value for name, value in extras.items() if name not in shown}


def _line_details(line: ItemLine, *, is_service: bool) -> Iterator[str]:
    if line.hsn_code:
        yield f"HSN {line.hsn_code}"
    if line.origin_country and line.origin_country != "IN":
        yield f"from {line.origin_country}"
    if is_service:
        yield "service"


def _quantity(line: ItemLine, fields: Mapping[str, Difference]) -> Cell:
    quantity, unit = fields.get("quantity"), fields.get("unit")
    if not quantity and not unit:
        return Cell(number(line.quantity))
    old = number(quantity.old if quantity else line.quantity)
    return Cell(number(line.quantity), f"{old} {unit.old}" if unit and unit.old else old)


def _percent(value: Any) -> str:
    return f"{number(value)}%"


def _removed_view(change: LineDifference) -> LineView:
    line = change.line
    return LineView(
        number=change.label,
        kind="removed",
        description=Cell(line.product_description or "No description"),
        quantity=Cell(number(line.quantity)),
        unit=line.unit or "",
        price=Cell(amount(line.unit_price)),
        amount=Cell(amount(line.total_item_value)),
    )


def _total_view(total: Total, header: Mapping[str, Difference]) -> TotalView:
    label = TOTAL_LABELS[total.kind]
    is_last = total.kind is TotalKind.TOTAL
    change = header.get(f"poValueDetails.{total.kind}")
    mismatch = f"The order states {money(total.stated)}; its lines add up to {money(total.calculated)}."
    return TotalView(
        label=label,
        note=" ".join(f"({note})" for note in _total_notes(total)),
        value=Cell(
            money(total.value) if is_last else amount(total.value), amount(change.old) if change else None
        ),
        is_last=is_last,
        mismatch=mismatch if total.differs else "",
    )


def _total_notes(total: Total) -> Iterator[str]:
    if len(total.parts) > 1:
        yield " + ".join(f"{_tax_label(name)} {amount(value)}" for name, value in total.parts)
    elif total.parts:
        yield _tax_label(total.parts[0][0])
    if total.unreadable:
        yield f"the order states “{total.unreadable}”, which is not a number; calculated from the lines"
    elif total.stated is None:
        yield "calculated from the lines"


def _tax_label(name: str) -> str:
    """``CGST + SGST`` for ``CGST_SGST``; any other name as sent, such as ``CESS_NON_ADVOL``."""
    parts = name.split("_")
    return " + ".join(parts) if _GST_PARTS.issuperset(parts) else name


def _sections(message: ReqSend, totals: Totals) -> dict[str, Any]:
    """Titled parts of the order below its lines."""
    body = message.purchase_order
    has_totals = isinstance(body.po_value_details, dict)
    sections = {
        "Terms": body.po_infos,
        "Shipping": body.shipping_terms_details,
        "Payment": body.payment_milestones,
        "Values": None if has_totals else body.po_value_details,
        "Contract": body.contract_reference_details,
        "Documents": body.additional_document_details,
        "Additional information": [info.wire() for info in message.additional_infos],
        "Other values": totals.others,
        "Unrecognized fields": {**(message.model_extra or {}), **(body.model_extra or {})},
    }
    return {title: value for title, value in sections.items() if value not in EMPTY}


def address_line(address: Any) -> str:
    """An address on one line; the country only if it is not India."""
    region = " ".join(part for part in (address.state, address.pincode) if part)
    country = address.country if address.country != "IN" else ""
    parts = (address.address_line1, address.address_line2, address.city, region, country)
    return ", ".join(part for part in parts if part)


def trade_name(party: Any) -> str:
    """The trade name of a party, unless its legal name already contains it."""
    if not party.trade_name or not party.legal_name or party.trade_name in party.legal_name:
        return ""
    return str(party.trade_name)


def phone_number(party: Any) -> str:
    """The phone number of a party, with its country code; empty if there is none."""
    contact = party.contact_number
    if not contact or not contact.phone_number:
        return ""
    return f"{contact.country_code or ''} {contact.phone_number}".strip()
