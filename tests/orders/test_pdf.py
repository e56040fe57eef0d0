"""The PDF of an order: its text, its pages, who may see it, and hostile content."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from pypdf import PdfReader

from app.ui.pdf import printable
from tests.fixture_types import Arrive
from tests.people import Browser

pytestmark = pytest.mark.sqlite

DEVANAGARI = "हेक्स बोल्ट एम१२×८०"


def read(browser: Browser, order_id: int) -> PdfReader:
    response = browser.get(f"/orders/{order_id}.pdf")
    assert response.status_code == 200
    assert response.mimetype == "application/pdf"
    return PdfReader(BytesIO(response.data))


def text_of(pdf: PdfReader) -> str:
    return " ".join(" ".join(page.extract_text() for page in pdf.pages).split())


def test_order_without_response_is_a_purchase_order(asha: Browser, arrive: Arrive) -> None:
    (order_id,) = arrive()
    pdf = read(asha, order_id)
    text = text_of(pdf)
    assert "Purchase order MAL/2611/45007" in text
    assert "Malabar Marine Stores Private Limited" in text
    assert "Deep groove ball bearing 6205-2RS" in text
    assert "Total ₹439.90" in text
    assert "Respond by" in text
    assert "Page 1 of 1" in text
    assert pdf.metadata and pdf.metadata.title == "Purchase order MAL/2611/45007"


def test_pdf_download_logs_only_its_request(
    asha: Browser, order_id: int, caplog: pytest.LogCaptureFixture
) -> None:
    asha.get(f"/orders/{order_id}.pdf")
    assert {record.name for record in caplog.records} == {"app.request"}


def test_order_with_response_is_an_acknowledgment(asha: Browser, arrive: Arrive) -> None:
    (order_id,) = arrive()
    asha.respond(order_id, remarks="Ships on Monday", supplier_order_number="SO-4711")
    text = text_of(read(asha, order_id))
    assert text.startswith("Triveni Fasteners Private Limited")
    assert "Order acknowledgment MAL/2611/45007" in text
    assert "Confirmed by Asha" in text
    assert "Remarks: Ships on Monday Supplier order number: SO-4711" in text
    assert "Delivery to the partner: Queued" in text
    assert "Respond by" not in text


def test_line_responses_are_shown_with_both_totals(asha: Browser, arrive: Arrive) -> None:
    (order_id,) = arrive()
    changes = {
        "lines-0-reference": "00010",
        "lines-0-response": "CHANGED",
        "lines-0-quantity": "1",
        "lines-0-remarks": "One in stock",
    }
    assert asha.respond(order_id, **changes).status_code == 303
    text = text_of(read(asha, order_id))
    assert "Confirmed with changes" in text
    assert "1 NOS ordered 2" in text
    assert "Reason: One in stock" in text
    assert "Total ₹439.90 ₹219.95" in text


def test_response_that_was_undone_is_not_shown(asha: Browser, arrive: Arrive, app: Flask) -> None:
    app.extensions["settings"] = app.extensions["settings"].model_copy(update={"undo_seconds": 60})
    (order_id,) = arrive()
    asha.respond(order_id)
    undo = f"/orders/{order_id}/answer/undo"
    assert asha.submit(f"/orders/{order_id}", undo).status_code == 303
    assert "Purchase order" in text_of(read(asha, order_id))


def test_devanagari_text_can_be_extracted(asha: Browser, receive: Any) -> None:
    def change(order: dict[str, Any]) -> None:
        order["itemLists"][0]["productDescription"] = DEVANAGARI

    assert DEVANAGARI in text_of(read(asha, receive(change)))


def test_many_lines_repeat_the_header_on_each_page(asha: Browser, receive: Any) -> None:
    def change(order: dict[str, Any]) -> None:
        line = order["itemLists"][0]
        order["itemLists"] = [
            {**line, "serialno": str(number), "orderLineReference": f"{number:05}"}
            for number in range(1, 121)
        ]

    pages = [page.extract_text() for page in read(asha, receive(change)).pages]
    assert len(pages) > 2
    assert all("Amount, ₹" in page for page in pages if "Deep groove" in page)
    assert all(f"Page {number} of {len(pages)}" in page for number, page in enumerate(pages, 1))
    assert sum(page.count("Deep groove") for page in pages) == 120


def test_lines_beyond_the_limit_are_counted(
    asha: Browser, receive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.orders.pdf_presenters.LINES_MAX", 2)

    def change(order: dict[str, Any]) -> None:
        order["itemLists"] = [
            {**order["itemLists"][0], "orderLineReference": str(number)} for number in range(5)
        ]

    assert "The list is truncated. See PO Confirm for 3 more lines." in text_of(read(asha, receive(change)))


def test_hostile_content_makes_a_readable_document(asha: Browser, receive: Any) -> None:
    def change(order: dict[str, Any]) -> None:
        order["subject"] = "a\u202eb\x07) Tj /JS (alert) 漢字 {nb} **bold**"
        order["itemLists"] = [{"productDescription": "W" * 5000, "serialno": "7" * 5000, "quantity": 0}, {}]
        order["poInfos"] = {
            "deep": [[[[[[[["end"]]]]]]]],
            "many": [{"name": f"n{i}", "value": i} for i in range(300)],
        }
        order["buyerDetails"] = {"address": {"city": "\u200b"}}
        order["deliveryDate"] = "soon"

    text = text_of(read(asha, receive(change)))
    assert "ab ) Tj /JS (alert) ?? {nb} **bold**" in text
    assert "See PO Confirm for more fields." in text
    assert "soon" in text


def test_order_of_another_supplier_is_not_found(omar: Browser, arrive: Arrive) -> None:
    (order_id,) = arrive()
    assert omar.get(f"/orders/{order_id}.pdf").status_code == 404
    assert omar.get("/orders/999999.pdf").status_code == 404


def test_page_links_the_pdf(asha: Browser, meera: Browser, arrive: Arrive) -> None:
    (order_id,) = arrive()
    for browser in (asha, meera):
        link = browser.get(f"/orders/{order_id}").one(f'a[href="/orders/{order_id}.pdf"]')
        assert link.text == "Download PDF"
        response = browser.get(link["href"])
        assert response.headers["Content-Disposition"] == (
            'attachment; filename="Purchase-order-MAL-2611-45007-v1.pdf"'
        )
        assert response.headers["Cache-Control"] == "private, no-store"


def test_printable_keeps_joiners_and_cuts_long_text() -> None:
    assert printable("क्\u200dष\u00a0x\ny") == "क्\u200dष x y"
    assert printable("e\u0301") == "é"
    assert printable("x" * 20, 10) == "xxxxxxxxx…"


def test_short_facts_of_a_section_share_a_line(asha: Browser, receive: Any) -> None:
    def change(order: dict[str, Any]) -> None:
        facts = [{"name": f"Code {number}", "value": f"C{number}"} for number in range(3)]
        order["poInfos"] = [*facts, {"name": "Note", "value": "long " * 30}]

    text = text_of(read(asha, receive(change)))
    assert "Code 0: C0 · Code 1: C1 · Code 2: C2 Note: long long" in text


@pytest.mark.parametrize("lines", range(9, 13))
def test_last_page_is_not_for_the_last_section_alone(asha: Browser, receive: Any, lines: int) -> None:
    def change(order: dict[str, Any]) -> None:
        order["itemLists"] *= lines

    last = read(asha, receive(change)).pages[-1].extract_text()
    assert "Shipping" in last and "Additional information" in last
