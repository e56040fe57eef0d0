"""Monday: 340 new orders, 12 changed, 3 urgent. By mouse, by keyboard alone, and on a phone."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from app import clock
from app.background import worker
from app.config import Settings
from app.db import Database
from app.orders.models import PurchaseOrder, Revision
from tests.browser.keys import press
from tests.buyer import Buyer
from tests.fixture_types import Arrive, Confirm
from tests.serving import Network

URGENT = 3
TABS_MAX = 40


@pytest.fixture
def desk(arrive: Arrive, confirm: Confirm, buyer: Buyer, database: Database, changed: int, new: int) -> None:
    """Asha's desk on Monday: some responses are out of date, and of the new orders 3 are urgent."""
    ids = arrive(changed + URGENT)
    for number, order_id in enumerate(ids[:changed]):
        confirm(order_id)
        assert buyer.edit(number).status_code == 200
    with database.writing() as session:
        soon = clock.now() + timedelta(hours=1)
        urgent = PurchaseOrder.id.in_(ids[changed:])
        session.execute(update(PurchaseOrder).where(urgent).values(respond_by=soon))
        copy_order(session, ids[-1], new - URGENT)
        session.commit()


def copy_order(session: Session, order_id: int, count: int) -> None:
    """Add orders like this one that are due tomorrow, with their own numbers."""
    template = session.get_one(PurchaseOrder, order_id)
    revision = session.scalars(select(Revision).where(Revision.order_id == order_id)).one()
    orders = [
        {
            **row_of(template),
            "object_id": f"PO-COPY-{number:04}",
            "buyer_po_number": f"COPY/{number:04}",
            "respond_by": clock.now() + timedelta(days=1),
        }
        for number in range(count)
    ]
    session.execute(insert(PurchaseOrder), orders)
    ids = session.scalars(select(PurchaseOrder.id).where(PurchaseOrder.object_id.startswith("PO-COPY-")))
    session.execute(insert(Revision), [{**row_of(revision), "order_id": copy_id} for copy_id in ids])


def row_of(record: Any) -> dict[str, Any]:
    """The values of a row without its id."""
    names = [column.key for column in record.__mapper__.column_attrs if column.key != "id"]
    return {name: getattr(record, name) for name in names}


@pytest.fixture
def jobs(database: Database, settings: Settings) -> Iterator[None]:
    """A worker for background jobs."""
    stop = threading.Event()
    thread = threading.Thread(target=worker(database, settings).run, args=(stop,), daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()


class Mouse:
    """Does everything with the mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def open_first_order(self) -> None:
        self.page.locator("#orders-list tbody a.strong").first.click()

    def confirm_and_next(self) -> None:
        """Confirm; an order that the buyer changed is reviewed first."""
        number = self.page.locator("h1").first.inner_text()
        self.page.get_by_role("button", name="Confirm and next").click()
        review = self.page.locator("#review")
        next_order = self.page.locator("h1").first.filter(has_not_text=number)
        expect(review.or_(next_order).first).to_be_visible()
        if review.is_visible():
            review.get_by_role("button", name="Confirm and next").click()
        expect(self.page.locator("h1").first).not_to_have_text(number)

    def select_all_that_match(self) -> None:
        self.page.get_by_role("button", name=re.compile("^Select all .* that match")).click()

    def confirm_all(self) -> None:
        self.page.locator(".panel.response .btn-main").click()


class Thumb(Mouse):
    """Taps on a phone, where all matching orders can be selected after those of the page."""

    def select_all_that_match(self) -> None:
        self.page.locator("[data-select-all]").check()
        super().select_all_that_match()


class Keyboard(Mouse):
    """Never touches the mouse."""

    def open_first_order(self) -> None:
        press(self.page, "j", "Enter")

    def confirm_and_next(self) -> None:
        number = self.page.locator("h1").first.inner_text()
        press(self.page, "c")
        expect(self.page.locator("#review-title")).to_be_focused()
        self.tab_to(self.page.locator("#review button[name=next]"))
        press(self.page, "Enter")
        expect(self.page.locator("h1").first).not_to_have_text(number)

    def select_all_that_match(self) -> None:
        press(self.page, "s")

    def confirm_all(self) -> None:
        press(self.page, "c")
        expect(self.page.locator(".panel.response .btn-main")).to_be_focused()
        press(self.page, "Enter")

    def tab_to(self, target: Locator) -> None:
        for _ in range(TABS_MAX):
            if target.evaluate("element => element === document.activeElement"):
                return
            press(self.page, "Tab")
        pytest.fail("the button cannot be reached with Tab")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("hands", "width", "changed", "new"),
    [(Mouse, 1280, 12, 340), (Keyboard, 1280, 3, 60), (Thumb, 390, 3, 60)],
    ids=["mouse", "keyboard", "phone"],
)
@pytest.mark.usefixtures("desk", "jobs")
def test_monday_with_340_new_orders_is_worked_off(
    page: Page,
    site: str,
    sign_in: Callable[[str], None],
    network: Network,
    hands: type[Mouse],
    width: int,
    changed: int,
    new: int,
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.set_default_timeout(30_000)
    asha = hands(page)
    sign_in("asha")

    page.goto(f"{site}/orders?due=soon")
    asha.open_first_order()
    expect(page.locator("nav.list-position")).to_contain_text(f"1 of {URGENT}")
    for _ in range(URGENT):
        asha.confirm_and_next()
    expect(page.get_by_text("All done", exact=True)).to_be_visible()

    page.goto(f"{site}/orders?answer=changed")
    asha.open_first_order()
    expect(page.locator("nav.list-position")).to_contain_text(f"1 of {changed}")
    for _ in range(changed):
        asha.confirm_and_next()
    expect(page.get_by_text("All done", exact=True)).to_be_visible()

    rest = new - URGENT
    page.goto(f"{site}/orders?answer=open")
    asha.select_all_that_match()
    expect(page.locator("h1")).to_have_text(f"Respond to {rest} orders")
    asha.confirm_all()
    expect(page.locator("h1")).to_have_text(f"{rest} orders confirmed", timeout=120_000)
    expect(page.locator(".bulk-deliveries")).to_have_text(
        re.compile(rf"^\s*Delivered\s+{rest}\s*$"), timeout=240_000
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto(f"{site}/orders?answer=open")
    expect(page.get_by_text("All done", exact=True)).to_be_visible()
    confirmed = {message["body"]["poConfirmation"]["objectId"] for message in network.received()}
    assert len(confirmed) == new + changed
