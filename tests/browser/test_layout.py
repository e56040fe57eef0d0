"""Layout in a real browser: nothing is cut, touches or breaks inside a word."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app.delivery.models import MessageState
from app.inbound.presenters import EFFECTS
from app.webhooks.presenters import MESSAGE_STATES
from tests.buyer import Buyer
from tests.fixture_types import Arrive, Deliver
from tests.people import Browser

SET_TEXT = "(elements, text) => elements.forEach((element) => (element.lastChild.textContent = text))"
LINES = "(elements) => Math.max(...elements.map((element) => element.getClientRects().length))"
ENDS = """(cells) => cells.filter((cell) => cell.querySelector("ins")).map((cell) => {
    const added = cell.querySelector("ins");
    const end = added.getBoundingClientRect().right - parseFloat(getComputedStyle(added).paddingRight);
    return Math.round(end - cell.querySelector("del").getBoundingClientRect().right);
})"""
CUT = """(elements) => elements.filter((element) => element.scrollWidth > element.clientWidth)
    .map((element) => element.textContent)"""

PRINTED = """(times) => times.filter((time) => time.getClientRects().length)
    .map((time) => getComputedStyle(time).fontSize === "0px" && getComputedStyle(time, "::after").content)"""


@pytest.fixture
def answered(arrive: Arrive, confirm: Callable[..., str], deliver: Deliver, asha: Browser) -> list[int]:
    """Three orders, of which two have a delivered response."""
    ids: list[int] = arrive(3)
    for order_id in ids[:2]:
        confirm(order_id)
    deliver()
    return ids


@pytest.mark.parametrize("width", [1280, 1440, 1600, 390])
def test_states_in_lists_stay_on_one_line(
    page: Page, site: str, sign_in: Callable[[str], None], answered: list[int], buyer: Buyer, width: int
) -> None:
    buyer.edit(5)
    page.set_viewport_size({"width": width, "height": 800})
    sign_in("ravi")
    for path, labels in (
        ("/inbound", [chip.label for chip in EFFECTS.values()]),
        ("/webhooks", [MESSAGE_STATES[state].label for state in MessageState]),
    ):
        page.goto(site + path)
        states = page.locator("td .state-text")
        for label in labels:
            states.evaluate_all(SET_TEXT, label)
            assert states.evaluate_all(LINES) == 1, (path, label)


@pytest.mark.parametrize("width", [1280, 390])
def test_state_of_a_changed_order_is_not_cut(
    page: Page, site: str, sign_in: Callable[[str], None], answered: list[int], buyer: Buyer, width: int
) -> None:
    buyer.edit(0)
    page.set_viewport_size({"width": width, "height": 800})
    sign_in("asha")
    for path in ("/orders?answer=changed", "/search?q=2611"):
        page.goto(site + path)
        expect(page.get_by_text("Changed, needs response").first).to_be_visible()
        assert not page.locator("main .state").evaluate_all(CUT)
    number = page.locator(".search-result", has_text="Changed").locator("b").first.bounding_box()
    assert number and number["height"] < 30


def test_time_of_a_response_is_not_cut(
    page: Page, site: str, sign_in: Callable[[str], None], answered: list[int]
) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    sign_in("asha")
    page.goto(f"{site}/orders")
    times = page.locator("td .due:has(.wide) time")
    times.evaluate_all("(times) => times.forEach((time) => (time.textContent = '58 min ago'))")
    assert times.count() == 2
    assert not page.locator("td .due").evaluate_all(CUT)


@pytest.mark.parametrize("path", ["/webhooks", "/inbound"])
def test_po_number_is_not_cut_on_a_phone(
    page: Page, site: str, sign_in: Callable[[str], None], answered: list[int], path: str
) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    sign_in("ravi")
    page.goto(site + path)
    page.locator(".marks").evaluate_all(
        "(all) => all.forEach((marks) => (marks.innerHTML = '<i class=\"mark mark-failed\"></i>'.repeat(8)))"
    )
    page.locator("td .state-text").evaluate_all(
        SET_TEXT, "Unauthenticated" if path == "/inbound" else "Refused"
    )
    assert not page.locator(".col-order .strong").evaluate_all(CUT)


def test_notice_of_a_changed_order_has_space_below_links_of_the_list(
    page: Page, site: str, sign_in: Callable[[str], None], answered: list[int], buyer: Buyer
) -> None:
    buyer.edit(0)
    sign_in("asha")
    for query in ("", "?list=answer%3Dchanged"):
        page.goto(f"{site}/orders/{answered[0]}{query}")
        notice, cards = (
            page.locator("main > .notice").bounding_box(),
            page.locator(".two-column").bounding_box(),
        )
        assert notice and cards
        assert cards["y"] - notice["y"] - notice["height"] == 16


def test_checkboxes_have_one_size_and_color(page: Page, site: str, sign_in: Callable[[str], None]) -> None:
    sign_in("admin")
    page.goto(f"{site}/users/new")
    looks = page.locator("[type=checkbox]").evaluate_all(
        """(boxes) => boxes.map(
            (box) => `${box.offsetWidth} ${box.offsetHeight} ${getComputedStyle(box).accentColor}`)"""
    )
    assert len(looks) > 2
    assert len(set(looks)) == 1 and looks[0].startswith("16 16 rgb")


def test_selected_rows_are_highlighted(
    page: Page, site: str, sign_in: Callable[[str], None], answered: list[int]
) -> None:
    sign_in("asha")
    page.goto(f"{site}/orders")
    row = page.locator("tbody tr").filter(has=page.locator("[name=order_ids]")).first
    background = "(row) => getComputedStyle(row).backgroundColor"
    page.mouse.move(0, 0)
    before = row.evaluate(background)
    row.get_by_role("checkbox").check()
    page.mouse.move(0, 0)
    assert row.evaluate(background) != before


def test_labels_of_the_response_report_fit_on_a_phone(
    page: Page, site: str, sign_in: Callable[[str], None], answered: list[int]
) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    sign_in("asha")
    page.goto(f"{site}/reports/answers")
    cells = page.locator(".stacked-rows [data-name]")
    expect(cells.first).to_be_visible()
    assert not cells.evaluate_all(CUT)


def test_long_rejection_reason_is_not_cut(
    page: Page, site: str, sign_in: Callable[[str], None], arrive: Arrive, asha: Browser
) -> None:
    asha.respond(arrive(1)[0], "REJECT", remarks="OUTOFSTOCK" * 10)
    sign_in("asha")
    page.goto(f"{site}/reports/answers")
    assert not page.locator(".scrolls:has(.reasons)").evaluate_all(CUT)


def test_open_tab_and_count_of_the_bell_stay_in_view_on_a_phone(
    page: Page, site: str, sign_in: Callable[[str], None], answered: list[int]
) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    sign_in("ravi")
    page.goto(f"{site}/webhooks?state=cancelled")
    tab = page.locator(".tabs [aria-current]").bounding_box()
    assert tab and tab["x"] + tab["width"] <= 390
    page.locator(".bell .count").evaluate("(count) => (count.textContent = '99+')")
    count, search = (page.locator(name).bounding_box() for name in (".bell .count", ".sidebar-search"))
    assert count and search and count["x"] + count["width"] <= search["x"]


def test_changed_values_align_with_the_old_ones(
    page: Page, site: str, sign_in: Callable[[str], None], answered: list[int], buyer: Buyer
) -> None:
    items = [{**buyer.bodies[0]["purchaseOrder"]["itemLists"][0], "quantity": 7, "grandTotal": "1234.50"}]
    assert buyer.edit(0, itemLists=items).status_code == 200
    sign_in("asha")
    page.goto(f"{site}/orders/{answered[0]}")
    ends = page.locator(".line-items tbody td.num").evaluate_all(ENDS)
    assert ends and set(ends) == {0}
    page.set_viewport_size({"width": 390, "height": 844})
    margins = page.locator(".line-items .col-quantity ins").evaluate_all(
        "(added) => added.map((value) => getComputedStyle(value).marginRight)"
    )
    assert margins and set(margins) == {"0px"}, "on phones the unit follows it"


def test_button_to_respond_stays_on_one_line_on_a_phone(
    page: Page,
    site: str,
    sign_in: Callable[[str], None],
    answered: list[int],
    move_clock: Callable[..., None],
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    move_clock(hours=25)
    sign_in("asha")
    page.goto(f"{site}/orders/{answered[2]}")
    page.locator(".jump-bar time").evaluate("(time) => (time.textContent = '29 min overdue')")
    assert page.locator(".jump-bar .btn").evaluate("(button) => button.offsetHeight") < 50


def test_times_are_not_broken_across_lines(
    page: Page, site: str, sign_in: Callable[[str], None], answered: list[int]
) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    sign_in("asha")
    page.goto(f"{site}/orders/{answered[2]}")
    assert page.locator("main time").evaluate_all(LINES) == 1


def test_printed_list_has_absolute_times_only(
    page: Page, site: str, sign_in: Callable[[str], None], answered: list[int]
) -> None:
    sign_in("asha")
    page.goto(f"{site}/orders")
    page.emulate_media(media="print")
    printed = page.locator(".list time[title]").evaluate_all(PRINTED)
    assert len(printed) == 3, "a deadline is printed once"
    for text in printed:
        assert re.fullmatch(r'"\d\d? [A-Z][a-z]{2} \d{4}, \d\d:\d\d"', text), text
