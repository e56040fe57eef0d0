"""Responses from a spreadsheet: the download, the plan with errors per cell, and hostile files."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.exports.formats import escape_formula
from app.orders import spreadsheet
from app.orders.models import Decision, PurchaseOrder
from app.orders.spreadsheet import BadSheet, SheetColumn, SheetProblem, read_sheet
from tests.fixture_types import Arrive
from tests.people import BEARINGS, Browser, fields_of
from tests.queries import count_rows, set_order

pytestmark = pytest.mark.sqlite

Row = list[Any]
HEADER = [column.value for column in SheetColumn]


def csv_file(rows: list[Row], delimiter: str = ",", encoding: str = "utf-8-sig") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode(encoding)


def xlsx_file(rows: list[Row]) -> bytes:
    book, file = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(file)
    return file.getvalue()


@pytest.fixture
def upload(asha: Browser) -> Callable[..., Any]:
    """Upload a file as Asha, and follow to the plan."""

    def upload(content: bytes, name: str = "orders.csv", browser: Browser = asha) -> Any:
        token = browser.get("/orders/answers/upload").csrf_token
        sent = browser.post(
            "/orders/answers/upload", data={"csrf_token": token, "file": (io.BytesIO(content), name)}
        )
        return browser.get(sent.location) if sent.status_code == 303 else sent

    return upload


def press(browser: Browser, plan: Any) -> Any:
    path = plan.request.path
    return browser.send(path, fields_of(plan.one(f"form[action='{path}']")))


def downloaded(browser: Browser, form: str, query: str = "answer=open") -> list[Row]:
    """The rows of the downloaded sheet."""
    content = browser.get(f"/orders/answers/sheet.{form}?{query}").get_data()
    if form == "csv":
        return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    rows = load_workbook(io.BytesIO(content)).active.iter_rows(values_only=True)
    return [list(row) for row in rows]


def fill(rows: list[Row], number: int, **cells: Any) -> None:
    """Fill in cells of a row by the names of their columns."""
    for name, value in cells.items():
        rows[number][rows[0].index(SheetColumn[name].value)] = value


# --- From the download to the response


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_filled_in_sheet_is_planned_and_sent(
    asha: Browser, arrive: Arrive, upload: Any, session: Session, form: str
) -> None:
    arrive(4)
    rows = downloaded(asha, form)
    assert [len(rows), set(HEADER) <= set(rows[0])] == [5, True]
    fill(rows, 1, RESPONSE="Confirm", OWN_NUMBER="SO-7", PROMISED_DATE="2026-12-24")
    fill(rows, 3, RESPONSE="reject", REMARKS="No capacity")
    plan = upload(csv_file(rows) if form == "csv" else xlsx_file(rows))
    assert "Both are ready." in plan.visible_text
    assert "2 rows without a response are skipped." in plan.visible_text
    assert "Promised date: 24 Dec 2026" in plan.visible_text
    assert count_rows(session, Decision) == 0, "nothing is sent before the button is pressed"
    first, second = press(asha, plan), press(asha, plan)
    assert first.location == second.location
    result = asha.get(first.location)
    assert result.one("h1").get_text() == "2 orders responded to"
    assert count_rows(session, Decision) == 2
    stored = {
        decision.order_id: (decision.response, decision.remarks, decision.infos)
        for decision in session.scalars(select(Decision))
    }
    assert stored == {
        int(rows[1][0]): (
            "ACCEPT",
            "Confirmed",
            [["supplierOrderNumber", "SO-7"], ["promisedDate", "2026-12-24"]],
        ),
        int(rows[3][0]): ("REJECT", "No capacity", []),
    }


def test_row_with_remarks_but_no_response_has_an_error(asha: Browser, arrive: Arrive, upload: Any) -> None:
    arrive(3)
    rows = downloaded(asha, "csv")
    fill(rows, 1, RESPONSE="Confirm")
    fill(rows, 2, REMARKS="No capacity")
    plan = upload(csv_file(rows))
    assert "1 row with errors." in plan.visible_text
    assert "Row 3, Response: Enter Confirm, Reject or Return." in plan.visible_text
    assert "1 row without a response is skipped." in plan.visible_text


def test_download_has_only_visible_orders_that_need_a_response(
    asha: Browser, omar: Browser, meera: Browser, arrive: Arrive, session: Session
) -> None:
    ids = arrive(6)
    asha.respond(ids[0])
    assert {int(row[0]) for row in downloaded(asha, "csv", "")[1:]} == set(ids[1:])
    of_omar = session.scalars(select(PurchaseOrder.id).where(PurchaseOrder.supplier_b2b_id == BEARINGS)).all()
    assert {int(row[0]) for row in downloaded(omar, "csv", "")[1:]} == set(of_omar) - {ids[0]}
    assert meera.get("/orders/answers/sheet.csv").status_code == 403
    assert asha.get("/orders/answers/sheet.csv?answer=nonsense").status_code == 422


def test_download_escapes_formulas(asha: Browser, arrive: Arrive, session: Session) -> None:
    set_order(session, arrive(1)[0], buyer_po_number="=1+1", subject="@SUM(A1)")
    row = downloaded(asha, "csv")[1]
    assert {escape_formula("=1+1"), "'@SUM(A1)"} <= set(row)
    book = load_workbook(io.BytesIO(asha.get("/orders/answers/sheet.xlsx").get_data()))
    assert {cell.data_type for cell in book.active[2]} <= {"s", "n"}


def test_escaped_po_number_is_accepted(asha: Browser, arrive: Arrive, upload: Any, session: Session) -> None:
    set_order(session, arrive(1)[0], buyer_po_number="=1+1")
    rows = downloaded(asha, "csv")
    fill(rows, 1, RESPONSE="Confirm")
    assert "1 order is ready." in upload(csv_file(rows)).visible_text


# --- Errors per cell


def errors_of(asha: Browser, upload: Any, **cells: Any) -> str:
    rows = downloaded(asha, "csv")
    fill(rows, 1, **{"RESPONSE": "Confirm", **cells})
    plan = upload(csv_file(rows))
    assert plan.status_code == 200
    errors: str = plan.one("tbody tr .col-state").get_text(" ", strip=True)
    assert plan.page.select(".send-sheet button[disabled]")
    return errors


def test_error_names_row_and_column(
    subtests: pytest.Subtests, asha: Browser, arrive: Arrive, upload: Any
) -> None:
    arrive(1)
    for cells, error in (
        ({"RESPONSE": "maybe"}, "Row 2, Response: Enter Confirm, Reject or Return, not “maybe”."),
        ({"RESPONSE": "Reject"}, "Row 2, Remarks: Enter a remark."),
        ({"RESPONSE": "Reject", "REMARKS": "Confirmed"}, "Row 2, Remarks: Enter a reason for the rejection."),
        ({"REMARKS": 'Say "yes"'}, "Row 2, Remarks: Remarks cannot contain"),
        ({"REMARKS": "x" * 101}, "Row 2, Remarks: Enter at most 100 characters"),
        ({"OWN_NUMBER": "9" * 501}, "Row 2, Supplier order number: Enter at most 500 characters"),
        ({"PROMISED_DATE": "soon"}, "Row 2, Promised date: Enter a date such as"),
        ({"PROMISED_DATE": "2026-02-30"}, "Row 2, Promised date: Enter a date such as"),
        ({"VERSION": "first"}, "Row 2, Version: Enter the version"),
        ({"VERSION": "7"}, "Row 2, Version: Enter the version"),
        ({"PO_NUMBER": "PO-OTHER"}, "Row 2, PO number: The PO number"),
        ({"ORDER": "0"}, "Row 2, Order ID: This order does not exist or belongs to another supplier."),
        ({"ORDER": "9" * 30}, "Row 2, Order ID: This order does not exist"),
        ({"ORDER": "²"}, "Row 2, Order ID: This order does not exist"),
        ({"RESPONSE": "Return", "REMARKS": "Wrong buyer"}, "This partner does not support returns."),
    ):
        with subtests.test(cells=cells):
            assert error in errors_of(asha, upload, **cells)


def test_changed_order_is_an_error(asha: Browser, arrive: Arrive, upload: Any, session: Session) -> None:
    arrive(2)
    rows = downloaded(asha, "csv")
    fill(rows, 1, RESPONSE="Confirm")
    fill(rows, 2, RESPONSE="Confirm")
    set_order(session, int(rows[1][0]), version=2)
    plan = upload(csv_file(rows))
    assert "Row 2, Version: The buyer changed this order. It is now version 2." in plan.visible_text
    result = asha.get(press(asha, plan).location)
    assert "Row 2, Version: The buyer changed this order." in result.visible_text
    assert count_rows(session, Decision) == 1


def test_order_that_changed_after_the_plan_is_skipped(
    asha: Browser, arrive: Arrive, upload: Any, session: Session
) -> None:
    arrive(2)
    rows = downloaded(asha, "csv")
    fill(rows, 1, RESPONSE="Confirm")
    fill(rows, 2, RESPONSE="Confirm")
    plan = upload(csv_file(rows))
    set_order(session, int(rows[1][0]), version=2)
    press(asha, plan)
    assert count_rows(session, Decision) == 1


def test_unknown_and_foreign_orders_have_the_same_error(
    omar: Browser, arrive: Arrive, upload: Any, session: Session
) -> None:
    arrive(6)
    foreign = session.scalar(
        select(PurchaseOrder.id).where(PurchaseOrder.supplier_b2b_id != BEARINGS).limit(1)
    )
    rows: list[Row] = [HEADER, [foreign, 1, "", "Confirm"], [987_654, 1, "", "Confirm"]]
    plan = upload(csv_file(rows), browser=omar)
    cells = [cell.get_text(" ", strip=True) for cell in plan.page.select("tbody .col-state")]
    assert cells[0].replace("Row 2", "") == cells[1].replace("Row 3", "")
    assert "₹" not in plan.visible_text.split("Order Response")[-1]
    assert press(omar, plan).status_code == 409
    assert count_rows(session, Decision) == 0


def test_same_order_twice_is_an_error(asha: Browser, order_id: int, upload: Any, session: Session) -> None:
    rows: list[Row] = [HEADER, [order_id, 1, "", "Confirm"], [order_id, 1, "", "Reject", "No capacity"]]
    plan = upload(csv_file(rows))
    assert "Row 3, Order ID: Row 2 has the same order." in plan.visible_text
    result = asha.get(press(asha, plan).location)
    assert "Row 3, Order ID: Row 2 has the same order." in result.visible_text
    assert count_rows(session, Decision) == 1


# --- Files


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_is_read_in_each_encoding_and_with_each_delimiter(encoding: str, delimiter: str) -> None:
    content = csv_file([HEADER, [7, 2, "PO, 1", "Confirm", "Geprüft; ok"]], delimiter, encoding)
    (row,) = read_sheet(content).rows
    assert (row.number, row.cells[SheetColumn.PO_NUMBER]) == (2, "PO, 1")
    assert row.cells[SheetColumn.REMARKS] == "Geprüft; ok"


def test_csv_cell_of_any_length_is_cut() -> None:
    content = csv_file([[*HEADER, "Subject"], [7, 2, "PO", "Confirm", "", "", "", "x" * 200_000]])
    assert len(read_sheet(content).rows) == 1


def test_headers_are_found_in_any_order_and_spelling() -> None:
    content = csv_file(
        [["supplier_response", "Notes", "ID", " VERSION "], ["Confirm", "x", 7, 2], ["", "y", 8, 1]]
    )
    sheet = read_sheet(b"sep=,\r\n" + content.removeprefix(b"\xef\xbb\xbf"))
    assert (len(sheet.rows), sheet.blank) == (1, 1)
    assert sheet.rows[0].cells == {
        SheetColumn.RESPONSE: "Confirm",
        SheetColumn.ORDER: "7",
        SheetColumn.VERSION: "2",
    }


def bomb() -> bytes:
    """A small workbook that claims to be large."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (spreadsheet.UNPACKED_MAX + 1))
    return file.getvalue()


def with_part(path: str, content: str) -> bytes:
    """A workbook with one part replaced."""
    source, file = zipfile.ZipFile(io.BytesIO(xlsx_file([HEADER, [1, 1, "", "Confirm"]]))), io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for part in source.namelist():
            archive.writestr(part, content if part == path else source.read(part))
    return file.getvalue()


ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    '<row r="1"><c r="A1" t="inlineStr"><is><t>&b;</t></is></c></row></sheetData></worksheet>'
)
SHEET = "xl/worksheets/sheet1.xml"
HOSTILE = {
    "empty": b"",
    "blank": b" \r\n ",
    "binary": bytes(range(256)) * 10,
    "nul": b"Order ID,Version,Response\r\n1,1,\0",
    "old excel": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "no header": csv_file([[1, 2, 3]]),
    "header only": csv_file([HEADER]),
    "no response": csv_file([HEADER, [1, 1, "", " "]]),
    "a column missing": csv_file([["Order ID", "Response"], [1, "Confirm"]]),
    "too many rows": csv_file([HEADER, *([1, 1, "", "Confirm"] for _ in range(2001))]),
    "half a zip": xlsx_file([HEADER])[:800],
    "another zip": with_part("[Content_Types].xml", "<Types/>"),
    "not xml": with_part(SHEET, "<worksheet"),
    "entities": with_part(SHEET, ENTITIES),
    "bomb": bomb(),
    "many tags": with_part(SHEET, "<a/>" * spreadsheet.TAGS_MAX),
    "too large": b"x" * (spreadsheet.UPLOAD_MAX + 1),
}


def test_bad_file_is_refused_with_a_sentence(
    subtests: pytest.Subtests, upload: Any, session: Session
) -> None:
    for name, data in HOSTILE.items():
        with subtests.test(name=name):
            page = upload(data, name="../../\u202eevil.xlsx")
            assert page.status_code == 422
            error = page.one("#file-error").get_text(strip=True)
            assert error.endswith(".")
            assert "file-error" in page.one("#file")["aria-describedby"]
            assert count_rows(session, Decision) == 0


def test_upload_without_file_or_token_is_refused(asha: Browser) -> None:
    token = asha.get("/orders/answers/upload").csrf_token
    assert asha.send("/orders/answers/upload", {"csrf_token": token}).status_code == 422
    assert asha.send("/orders/answers/upload", {"csrf_token": token, "file": "text"}).status_code == 422
    data = {"file": (io.BytesIO(csv_file([HEADER, [1, 1, "", "Confirm"]])), "orders.csv")}
    assert asha.post("/orders/answers/upload", data=data).status_code == 400


def test_upload_above_the_limit_is_refused_by_its_length(asha: Browser) -> None:
    data = {"file": (io.BytesIO(b"x" * (spreadsheet.UPLOAD_MAX + 100_000)), "orders.csv")}
    assert asha.post("/orders/answers/upload", data=data).status_code == 413


def test_hostile_cell_causes_no_server_error(subtests: pytest.Subtests, order_id: int, upload: Any) -> None:
    for value in ("_x0000_", "_xD800_", "=1/0", "\u202e", 1e308, 10**14, True, "x" * 40_000):
        with subtests.test(value=value):
            for column in range(len(HEADER)):
                row: Row = [order_id, 1, "", "Confirm", "", "", ""]
                row[column] = value
                plan = upload(xlsx_file([HEADER, row]), name="orders.xlsx")
                assert plan.status_code in (200, 422), HEADER[column]


def test_cells_are_read_as_text() -> None:
    row = [17.0, 2, 4500012345, "Confirm", "=A1", 1.5, datetime(2026, 12, 24)]  # noqa: DTZ001 - a cell has no zone
    (read,) = read_sheet(xlsx_file([HEADER, row])).rows
    assert list(read.cells.values()) == ["17", "2", "4500012345", "Confirm", "", "1.5", "2026-12-24"]


def test_rows_between_empty_rows_keep_their_numbers() -> None:
    rows = read_sheet(xlsx_file([HEADER, [], [], [1, 1, "", "Confirm"]])).rows
    assert [row.number for row in rows] == [4]


def test_sheet_with_a_row_far_below_is_rejected() -> None:
    with pytest.raises(BadSheet) as error:
        read_sheet(csv_file([HEADER, *([""] for _ in range(20_000)), [1, 1, "", "Confirm"]]))
    assert error.value.problem in (SheetProblem.NO_RESPONSES, SheetProblem.TOO_MANY_ROWS)
