"""After an outage, support resends and resolves in a real browser, and the manager reads the report."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from app import background
from app.config import Settings
from app.db import Database
from app.partners.models import Partner
from tests.fixture_types import Arrive
from tests.serving import Network


@pytest.fixture
def worker(database: Database, settings: Settings) -> Iterator[None]:
    """A background worker, as ``flask work`` runs it."""
    stop = threading.Event()
    running = threading.Thread(target=background.worker(database, settings).run, args=(stop,), daemon=True)
    running.start()
    yield
    stop.set()
    running.join()


def test_outage_resent_by_support_is_reported_to_the_manager(
    page: Page,
    site: str,
    sign_in: Callable[[str], None],
    arrive: Arrive,
    confirm: Callable[..., str],
    network: Network,
    partner: Partner,
    database: Database,
    worker: None,
) -> None:
    with database.writing() as session:
        row = session.get(Partner, partner.id)
        assert row
        row.retry_schedule = [3600.0, 3600.0]  # the next automatic attempt is far off
        session.commit()
    network.behave("503")
    for order_id in arrive(4)[:3]:
        confirm(order_id)
    sign_in("ravi")
    for _ in range(30):
        page.goto(f"{site}/webhooks?code=5xx")
        if page.locator("#webhooks-list tbody tr").count() == 3:
            break
        page.wait_for_timeout(500)
    expect(page.locator(".filter-chip")).to_have_count(1)
    network.behave("ok")

    # A filter is added, saved as a view, and opened from the list of views.
    page.locator("#state").select_option("pending")
    expect(page.locator(".filter-chip")).to_have_count(2)
    page.get_by_text("Save view").click()
    page.get_by_label("Name of the view").fill("Stuck at the network")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("navigation", name="Views").get_by_role("link").first).to_have_text(
        "Stuck at the network"
    )

    page.get_by_label("Select all on this page").check()
    expect(page.locator("[data-selection-count]")).to_have_text("3 selected")
    page.get_by_role("button", name="Resend selected").click()
    expect(page.locator(".lead-text")).to_contain_text("3 webhooks will be resent")
    page.get_by_label("Reason").fill("They are back since twelve")
    page.get_by_role("button", name="Resend 3").click()
    expect(page.locator("#resend")).to_contain_text("They are back since twelve")
    expect(page.locator("a.result-filter", has_text="Delivered")).to_contain_text("3")
    report = page.url

    page.context.clear_cookies()
    sign_in("meera")
    page.goto(report)
    expect(page.locator("tbody tr")).to_have_count(3)
    page.locator("tbody tr a.strong").first.click()
    expect(page.locator(".attempts")).to_contain_text("They are back since twelve")
    page.get_by_role("link", name="Diff with attempt 1").click()
    expect(page.locator(".first-line").last).to_contain_text("503")


def test_item_resolved_by_a_person_shows_the_name(
    page: Page, site: str, sign_in: Callable[[str], None], message_id: str, network: Network
) -> None:
    network.behave("refuse", error_cd="BPR012", error_dtl="Remarks are not acceptable")
    sign_in("ravi")
    for _ in range(30):
        page.goto(f"{site}/attention")
        if page.locator(".attention-item").count():
            break
        page.wait_for_timeout(500)
    expect(page.locator("#n-attention")).to_have_text("1")
    expect(page.locator(".attention-item")).to_contain_text("Remarks are not acceptable")
    page.get_by_role("link", name="Assign or resolve").click()
    page.get_by_label("Reason").fill("Resolved by phone")
    page.get_by_role("button", name="Resolve", exact=True).click()
    expect(page.locator(".timeline")).to_contain_text("Resolved by phone")
    expect(page.locator("#n-attention")).to_be_hidden()
    page.goto(f"{site}/attention/closed")
    expect(page.locator(".attention-item")).to_contain_text("Ravi")
    page.goto(f"{site}/webhooks/{message_id}")
    expect(page.locator(".attention-link")).to_contain_text("Resolved: view the reason")
