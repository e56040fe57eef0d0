"""Responses to single lines, as pages show them and as the line editor edits them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flask import Flask
from wtforms import FieldList
from wtforms.csrf.core import CSRFTokenField

from app.network.messages import ItemLine
from app.network.reader import Unreadable, read_json
from app.network.reference_codes import unit_label
from app.network.text import pluralize, search_key, whole_number
from app.network.vocabulary import SupplierResponse
from app.orders.document_presenters import TOTAL_LABELS, LinePages, line_counts, line_pages
from app.orders.line_entry import ALL_REJECTED, EnteredLine, EnteredSplit
from app.orders.line_responses import (
    SPLITS_MAX,
    LineAction,
    LineResponse,
    as_text,
    decode,
    from_json,
    to_json,
)
from app.orders.lines import Amounts, OrderedLine, ResponseSummary, line_amounts, ordered_lines, summarize
from app.orders.models import Decision, PurchaseOrder
from app.orders.presenters import RESPONSE_VERBS, response_label
from app.orders.totals import read_amount
from app.ui.bodies import PRETTY_MAX
from app.ui.chips import Chip
from app.ui.numbers import money, number
from app.ui.times import short_day

MINUS = "\N{MINUS SIGN}"
LINES_SHOWN = 20
"""Lines per page of the editor."""
LIVE_ROWS = 100
"""Lines whose effect is updated while a person types."""
REASONS = (
    "Out of stock",
    "Material price",
    "Production capacity",
    "Transport delay",
    "Minimum order quantity",
    "Discontinued",
)
"""Suggested reasons for a changed or rejected line; any other text is allowed."""
SPLIT_ROWS = 2
"""Blank rows for deliveries that a line offers."""
ACTIONS = {
    LineAction.AS_ORDERED: ("As ordered", Chip("ok", "As ordered")),
    LineAction.CHANGED: ("Change", Chip("warn", "Changed")),
    LineAction.REJECTED: ("Reject", Chip("ink", "Rejected")),
}


# --- Reading


@dataclass(frozen=True, slots=True)
class LineResponseView:
    """The response to one line as pages show it, with each value that differs."""

    reference: str
    description: str
    chip: Chip
    facts: Sequence[str]
    remarks: str
    ordered_amount: str = ""
    amount: str = ""


def line_response_views(
    responses: Iterable[LineResponse], ordered: Sequence[OrderedLine] = ()
) -> list[LineResponseView]:
    """The responses as pages show them, with the ordered values if the lines of the order are known."""
    items = {line.reference: line for line in ordered}
    return [_view(response, items.get(response.reference)) for response in responses]


def lines_in_body(body: bytes) -> list[LineResponseView]:
    """The responses to lines in a `req-confirm` message; empty for any other body."""
    try:
        value = read_json(body, max_bytes=PRETTY_MAX)
    except Unreadable:
        return []
    infos = value.get("additionalInfos") if isinstance(value, dict) else None
    pairs = [
        (str(info.get("name", "")), str(info.get("value", "")))
        for info in (infos if isinstance(infos, list) else [])
        if isinstance(info, dict)
    ]
    return line_response_views(decode(pairs)[0])


def lines_brief(lines: Sequence[dict[str, Any]]) -> str:
    """The responses that a decision stored, in one sentence: ``2 lines changed, 1 rejected.``"""
    rejected = sum(line.get("response") == LineAction.REJECTED for line in lines)
    brief = line_counts([(len(lines) - rejected, "changed"), (rejected, "rejected")])
    return f"{brief}." if brief else ""


def _view(response: LineResponse, ordered: OrderedLine | None) -> LineResponseView:
    before = after = Amounts(None, None, None)
    if ordered:
        before, after = line_amounts(ordered.item), line_amounts(ordered.item, response)
    return LineResponseView(
        reference=response.reference,
        description=(ordered and ordered.item.product_description) or "",
        chip=ACTIONS[response.response][1],
        facts=list(_facts(response, ordered)),
        remarks=response.remarks,
        ordered_amount=money(before.total) if before.total != after.total else "",
        amount=money(after.total),
    )


def _facts(response: LineResponse, ordered: OrderedLine | None) -> Iterable[str]:
    item = ordered.item if ordered else ItemLine()
    unit = f" {unit_label(item.unit)}" if item.unit else ""
    if response.quantity is not None:
        was = f" instead of {number(item.quantity)}" if item.quantity is not None else ""
        yield f"Quantity {number(response.quantity)}{unit}{was}"
    if response.delivery_date is not None:
        day = ordered.delivery_date if ordered else None
        was = f" instead of {short_day(day, year=True)}" if day else ""
        yield f"Delivery on {short_day(response.delivery_date, year=True)}{was}"
    if response.unit_price is not None:
        was = f" instead of {money(item.unit_price)}" if item.unit_price is not None else ""
        yield f"Unit price {money(response.unit_price)}{was}"
    for position, split in enumerate(response.splits, 1):
        on = f" on {short_day(split.delivery_date, year=True)}" if split.delivery_date else ""
        yield f"Delivery {position}: {number(split.quantity)}{unit}{on}"


# --- The summary


@dataclass(frozen=True, slots=True)
class SummaryView:
    """The totals of a response to lines, and a sentence about it."""

    sentence: str
    rows: Sequence[tuple[str, str, str, str]]


def response_summary(
    body: Any, responses: Sequence[LineResponse], kind: str, who: str = "You"
) -> SummaryView:
    """The summary of a response to lines; ``kind`` is the response to the whole order."""
    summary = summarize(body, responses)
    rows = [
        (label, money(before), _money(after), _difference(before, after))
        for label, before, after in zip(
            TOTAL_LABELS.values(), summary.ordered, summary.confirmed, strict=True
        )
        if before is not None
    ]
    return SummaryView(_sentence(summary, kind, who), rows)


def _sentence(summary: ResponseSummary, kind: str, who: str) -> str:
    verb = _verb(kind, who)
    confirmed_lines = summary.lines - summary.rejected
    if not confirmed_lines:
        if kind != SupplierResponse.REJECT:
            return ALL_REJECTED
        return f"{who} {verb} {_all_lines(summary.lines)}."
    lines = (
        pluralize(summary.lines, "line")
        if confirmed_lines == summary.lines
        else f"{number(confirmed_lines)} of {pluralize(summary.lines, 'line')}"
    )
    total = summary.confirmed.total
    amount = f" for {money(total)}" if total is not None else ""
    counts = [
        f"{number(count)} {label}"
        for count, label in (
            (summary.as_ordered, "as ordered"),
            (summary.changed, "changed"),
            (summary.rejected, "rejected"),
        )
        if count
    ]
    return f"{who} {verb} {lines}{amount}: {', '.join(counts)}."


def line_sentence(body: Any, responses: Sequence[LineResponse], kind: str) -> str:
    """A sentence about the responses to lines, even if there are none."""
    if responses:
        return response_summary(body, responses, kind).sentence
    verb = _verb(kind)
    ordered = " as ordered" if verb == "confirm" else ""
    return f"You {verb} {_all_lines(len(body.item_lists))}{ordered}."


def _verb(kind: str, who: str = "You") -> str:
    """``confirm`` for the reader's response and the default, ``confirmed`` for a response by someone else."""
    response = SupplierResponse(kind) if kind in set(SupplierResponse) else SupplierResponse.ACCEPT
    return (RESPONSE_VERBS[response] if who == "You" else response_label(response)).lower()


def _all_lines(count: int) -> str:
    return "the line" if count == 1 else f"all {pluralize(count, 'line')}"


def _money(value: Decimal | None) -> str:
    return "not known" if value is None else money(value)


def _difference(before: Decimal, after: Decimal | None) -> str:
    if after is None:
        return ""
    difference = after - before
    return f"+{money(difference)}" if difference > 0 else money(difference).replace("-", MINUS)


# --- The editor


@dataclass(frozen=True, slots=True)
class EditorRow:
    """The fields of one line, as entered and as ordered.

    ``prefix`` begins the names of the fields, such as ``lines-3``. ``splits`` end with blank ones.
    """

    prefix: str
    line: OrderedLine
    facts: str
    entered: EnteredLine
    ordered: EnteredLine
    response: str
    splits: Sequence[EnteredSplit]
    amount: str
    old_amount: str
    effect: str

    @property
    def has_splits(self) -> bool:
        """Whether the deliveries are shown from the start."""
        return bool(self.entered.filled_splits()) or "splits" in self.entered.errors


@dataclass(frozen=True, slots=True)
class EditorView:
    """The editor of the lines: the edited ones that are not on the page, then a page of those that match."""

    edited: Sequence[EditorRow]
    page_rows: Sequence[EditorRow]
    pages: LinePages
    total: int
    query: str
    is_open: bool

    @property
    def live_rows(self) -> Sequence[EditorRow]:
        """The lines that update while the person types."""
        return [*self.edited[:LIVE_ROWS], *self.page_rows]


def line_editor(form: Any, page: str = "", query: str = "", *, opened: bool = False) -> EditorView:
    """The line fields of a response form. Only edited lines and one page of the others have inputs."""
    lines = form.lines
    entered = {line.reference: line for line in lines.entered if not line.is_blank}
    responses = {response.reference: response for response in lines.responses}
    key = search_key(query)
    matching = [line for line in lines.ordered if key in _search_text(line)] if key else lines.ordered
    pages = line_pages(whole_number(page) or 1, len(matching), LINES_SHOWN)
    shown = matching[pages.first - 1 : pages.last]
    on_page = {line.index for line in shown}
    edited = [
        line
        for line in lines.ordered
        if line.index not in on_page
        and (
            line.reference in responses or (line.reference in entered and _is_edited(entered[line.reference]))
        )
    ]

    def row(line: OrderedLine) -> EditorRow:
        return _row(line, entered.get(line.reference) or EnteredLine(line.reference), responses)

    is_edited = any(_is_edited(line) for line in entered.values())
    return EditorView(
        edited=[row(line) for line in edited],
        page_rows=[row(line) for line in shown],
        pages=pages,
        total=len(lines.ordered),
        query=query,
        is_open=opened or is_edited or bool(lines.errors),
    )


def entered_fields(form: Any) -> list[tuple[str, str]]:
    """All fields of a valid form as names and values, for the hidden fields of the review."""
    own = [field for field in form if not isinstance(field, CSRFTokenField | FieldList)]
    infos = [field for entry in form.additional_infos for field in entry]
    fields = [(field.name, str(field.data or "")) for field in (*own, *infos)]
    indexes = {line.reference: line.index for line in form.lines.ordered}
    for response in form.lines.responses:
        prefix = f"lines-{indexes[response.reference]}"
        texts = to_json(response)
        splits = texts.pop("splits", ())
        fields += [(f"{prefix}-{name}", text) for name, text in texts.items()]
        for index, split in enumerate(splits):
            fields += [(f"{prefix}-split-{index}-{name}", text) for name, text in split.items()]
    return fields


def _is_edited(line: EnteredLine) -> bool:
    return bool(line.errors) or line.response in (LineAction.CHANGED, LineAction.REJECTED)


def _search_text(line: OrderedLine) -> str:
    item = line.item
    return search_key(
        f"{line.reference} {item.serialno or ''} {item.product_description or ''} {item.hsn_code or ''}"
    )


def _row(line: OrderedLine, entered: EnteredLine, responses: Any) -> EditorRow:
    item = line.item
    response = responses.get(line.reference)
    before: Amounts = line_amounts(item)
    after = line_amounts(item, response) if response else before
    splits = entered.filled_splits()
    blank = min(SPLIT_ROWS, max(SPLITS_MAX - len(splits), 0))
    return EditorRow(
        prefix=f"lines-{line.index}",
        line=line,
        facts=_line_facts(line),
        entered=entered,
        ordered=EnteredLine(
            quantity=as_text(item.quantity),
            delivery_date=as_text(line.delivery_date),
            unit_price=as_text(item.unit_price),
        ),
        response=entered.response or (response.response.value if response else LineAction.AS_ORDERED.value),
        splits=[*splits, *(EnteredSplit() for _ in range(blank))],
        amount=_money(after.total) if before.total is not None or response else "",
        old_amount=money(before.total) if after.total != before.total and before.total is not None else "",
        effect=" · ".join(_effect(line, entered, response)),
    )


def _effect(line: OrderedLine, entered: EnteredLine, response: LineResponse | None) -> Iterator[str]:
    """How the response to a line differs from the order, and how much of it the deliveries cover."""
    item = line.item
    unit = f" {item.unit}" if item.unit else ""
    if response and response.quantity is not None and item.quantity is not None:
        difference = response.quantity - item.quantity
        yield f"{number(abs(difference))}{unit} {'more' if difference > 0 else 'fewer'}"
    if response and response.delivery_date and line.delivery_date:
        days = (response.delivery_date - line.delivery_date).days
        yield f"{pluralize(abs(days), 'day')} {'later' if days > 0 else 'sooner'}"
    if response and response.unit_price is not None and item.unit_price:
        percent = ((response.unit_price / item.unit_price - 1) * 100).quantize(Decimal("0.1"))
        yield f"price {'+' if percent > 0 else MINUS}{number(abs(percent))}%"
    planned = [read_amount(split.quantity) for split in entered.filled_splits() if split.quantity]
    if planned:
        total = sum((amount for amount in planned if amount is not None), Decimal(0))
        ordered = read_amount(entered.quantity) or item.quantity
        of = f" of {number(ordered)}" if ordered is not None else ""
        yield f"{number(total)}{of}{unit} planned"


def _line_facts(line: OrderedLine) -> str:
    item = line.item
    parts = []
    if item.quantity is not None:
        price = f" × {money(item.unit_price)}" if item.unit_price is not None else ""
        parts.append(f"{number(item.quantity)} {unit_label(item.unit)}".strip() + price)
    if line.delivery_date:
        parts.append(f"by {short_day(line.delivery_date, year=True)}")
    if item.hsn_code:
        parts.append(f"HSN {item.hsn_code}")
    return " · ".join(parts)


def decision_lines(order: PurchaseOrder, decision: Decision) -> tuple[str, list[LineResponseView]]:
    """A sentence about the line responses of a decision, and each of them.

    ``order`` is loaded with its versions.
    """
    body = order.revision(decision.version).message.purchase_order
    responses = [from_json(line) for line in decision.line_responses]
    summary = response_summary(body, responses, decision.response, decision.person_name)
    return summary.sentence, line_response_views(responses, ordered_lines(body))


def init_app(app: Flask) -> None:
    """Register the template functions of lines."""
    app.jinja_env.globals.update(
        decision_lines=decision_lines,
        entered_fields=entered_fields,
        line_actions={action.value: label for action, (label, _) in ACTIONS.items()},
        line_reasons=REASONS,
        line_response_views=line_response_views,
        line_sentence=line_sentence,
        lines_in_body=lines_in_body,
        response_summary=response_summary,
    )
