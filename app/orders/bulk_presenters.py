"""Labels, tones and sentences for bulk responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Flask

from app import clock
from app.delivery.models import CancelReason, Message, MessageState
from app.network.text import pluralize
from app.network.vocabulary import SupplierResponse
from app.orders.bulk_queries import BulkCounts, BulkResult
from app.orders.decisions import ResponseBlocker
from app.orders.models import BulkResponse, BulkSource, BulkStatus, PurchaseOrder
from app.orders.presenters import (
    NOT_ALLOWED_BY_PARTNER,
    blocker_sentence,
    response_chip,
    response_label,
    urgency,
)
from app.orders.req_confirm import DecisionInput
from app.orders.spreadsheet import COLUMNS_MAX, ROWS_MAX, BadSheet, SheetColumn, SheetProblem
from app.tasks.models import Job
from app.ui.chips import Chip
from app.webhooks.presenters import MESSAGE_STATES, message_sentence

SKIPPED = Chip("warn", "Skipped")
STATUS_CHIPS = {
    BulkStatus.READY: Chip("waiting", "Ready"),
    BulkStatus.RECORDED: Chip("ok", "Recorded"),
    BulkStatus.SAME_RESPONSE: Chip("quiet", "Already responded"),
    BulkStatus.OTHER_RESPONSE: SKIPPED,
    BulkStatus.CHANGED: SKIPPED,
    BulkStatus.BLOCKED: SKIPPED,
    BulkStatus.INVALID: SKIPPED,
    BulkStatus.NOT_FOUND: Chip("bad", "Not found"),
    BulkStatus.ERRORS: Chip("bad", "Error"),
}
_SENTENCES = {
    BulkStatus.OTHER_RESPONSE: "{detail} already responded.",
    BulkStatus.CHANGED: "The buyer changed this order. It is now version {version}.",
    BulkStatus.INVALID: NOT_ALLOWED_BY_PARTNER,
}
NOT_FOUND = "This order does not exist or belongs to another supplier."
QUEUED = Chip("waiting", "Not recorded yet")
UNDONE = Chip("quiet", "Undone")
NOT_RECORDED = Chip("quiet", "Not recorded")
SHEET_PROBLEMS = {
    SheetProblem.EMPTY: "The file is empty. Choose another file.",
    SheetProblem.TOO_LARGE: "The file is too large. Remove sheets and rows that you don't need.",
    SheetProblem.OLD_FORMAT: (
        "This is an old Excel file (.xls) or one with a password. Save it as .xlsx without a password."
    ),
    SheetProblem.UNREADABLE: "The file cannot be read. Save it as .xlsx or .csv and upload it again.",
    SheetProblem.NOT_TEXT: "The file is neither an Excel workbook (.xlsx) nor text in CSV format.",
    SheetProblem.NO_COLUMN: (
        "The first row has no column “{column}”. Use the downloaded file and keep its first row, "
        f"with at most {COLUMNS_MAX} columns."
    ),
    SheetProblem.TOO_MANY_ROWS: f"The file has more than {ROWS_MAX:,} rows. Split it into several files.",
    SheetProblem.NO_RESPONSES: "No row has a response. Fill in the column “Response”.",
}


def sheet_problem(error: BadSheet) -> str:
    """Why a file cannot be used, and what to do."""
    return SHEET_PROBLEMS[error.problem].format(column=error.detail)


@dataclass(slots=True)
class PlanRow:
    """An order of a plan: its response if it is valid, and what will happen to it.

    ``number`` is the row of a spreadsheet, else 0, ``same_as`` an earlier row with the same order, and
    ``entered`` its filled-in cells. ``remarks`` are the order's own, as entered.
    """

    order: PurchaseOrder | None
    status: BulkStatus = BulkStatus.READY
    notes: Sequence[str] = ()
    version: int | None = None
    data: DecisionInput | None = None
    remarks: str = ""
    remarks_error: str = ""
    number: int = 0
    same_as: int | None = None
    entered_order: str = ""
    entered: Sequence[str] = ()

    @property
    def chip(self) -> Chip:
        """The status as a chip."""
        return STATUS_CHIPS[self.status]

    @property
    def urgency(self) -> str:
        """The CSS class of the deadline."""
        return urgency(self.order, clock.now()) if self.order else ""

    @property
    def accepts_remarks(self) -> bool:
        """Whether a remark for this order can be entered."""
        return not self.number and (self.status is BulkStatus.READY or bool(self.remarks_error))


def outcome_notes(order: PurchaseOrder, status: BulkStatus, detail: str) -> list[str]:
    """Why an order does not accept its response; empty if it does."""
    if status is BulkStatus.BLOCKED:
        return [blocker_sentence(order, ResponseBlocker(detail))]
    sentence = _SENTENCES.get(status)
    return [sentence.format(detail=detail, version=order.version)] if sentence else []


def bulk_hint(ready: int, total: int) -> str:
    """What the button of a bulk response will do."""
    if not ready:
        return "You can't respond to any of these orders now."
    ready_text = f"{ready:,} of {total:,} orders are ready; the others are skipped."
    if ready == total:
        ready_text = {1: "1 order is ready.", 2: "Both are ready."}.get(total, f"All {total:,} are ready.")
    return f"{ready_text} Each is recorded under your name and sent separately."


def matching_label(count: int, most: int) -> str:
    """The button that selects all orders of a list that need a response."""
    return f"Select the first {most:,} that match" if count > most else f"Select all {count:,} that match"


# --- Results


def respond_job_title(job: Job) -> str:
    """The title of a job that records responses."""
    return f"Respond to {pluralize(job.total, 'order')}"


@dataclass(frozen=True, slots=True)
class ResultRow:
    """What happened to one order: its response, and the state of its webhook if there is one."""

    order: PurchaseOrder | None
    response: Chip
    notes: Sequence[str]
    remarks: str
    message: Message | None
    number: int
    entered_order: str


def result_row(
    result: BulkResult, bulk: BulkResponse, errors: Sequence[str] = (), *, ended: bool = False
) -> ResultRow:
    """A row of the result; ``errors`` are those of a spreadsheet row. ``ended`` means no job is running."""
    item, order, message = result.item, result.order, result.message
    is_sheet = bulk.source is BulkSource.SPREADSHEET
    has_response = item.result in (BulkStatus.RECORDED, BulkStatus.SAME_RESPONSE)
    return ResultRow(
        order=order,
        response=_result_chip(result, ended=ended),
        notes=errors or _result_notes(result),
        remarks=item.data.get("remarks", "") if has_response else "",
        message=message,
        number=item.number if is_sheet else 0,
        entered_order=item.entered.get(SheetColumn.ORDER, "") if is_sheet else "",
    )


def _result_chip(result: BulkResult, *, ended: bool) -> Chip:
    status = result.item.result
    if status is None:
        return NOT_RECORDED if ended else QUEUED
    if result.message and result.message.cancel_requested is CancelReason.UNDO:
        return UNDONE
    if status in (BulkStatus.RECORDED, BulkStatus.SAME_RESPONSE):
        return response_chip(result.item.data["response"])
    return STATUS_CHIPS[status]


def _result_notes(result: BulkResult) -> list[str]:
    item, order, message = result.item, result.order, result.message
    if order is None:
        return [NOT_FOUND]
    if message and message.is_final and message.state is not MessageState.DELIVERED:
        return [message_sentence(message)]
    if item.result is BulkStatus.SAME_RESPONSE:
        return ["It already had this response."]
    return outcome_notes(order, item.result, item.result_detail) if item.result else []


def result_title(bulk: BulkResponse, counts: BulkCounts) -> str:
    """The heading of the result: ``3 orders confirmed``."""
    is_shared = bulk.response in set(SupplierResponse)
    verb = response_label(bulk.response).lower() if is_shared else "responded to"
    return f"{pluralize(counts.recorded, 'order')} {verb}"


def delivery_counts(counts: BulkCounts) -> list[tuple[Chip, int]]:
    """How many webhooks are in each state."""
    deliveries = counts.deliveries
    return [(chip, deliveries[state]) for state, chip in MESSAGE_STATES.items() if state in deliveries]


def deliveries_announced(counts: BulkCounts) -> str:
    """The states for screen readers: ``2 delivered, 1 queued``."""
    return ", ".join(f"{count} {chip.label.lower()}" for chip, count in delivery_counts(counts))


def result_pace(bulk: BulkResponse, job: Job | None, now: datetime) -> str:
    """How often the result page polls: often at the beginning and while a job runs."""
    age = (now - (bulk.sent_at or now)).total_seconds()
    if age < 60 or (job and not job.is_finished):
        return "2s"
    return "5s" if age < 600 else "15s"


def init_app(app: Flask) -> None:
    """Register template functions."""
    app.jinja_env.globals.update(
        bulk_hint=bulk_hint,
        deliveries_announced=deliveries_announced,
        delivery_counts=delivery_counts,
        matching_label=matching_label,
        result_title=result_title,
    )
