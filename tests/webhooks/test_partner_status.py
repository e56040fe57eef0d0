"""Partners that are active, delayed, failing or paused, and who sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Database, SessionSettings
from app.delivery.circuit_breaker import BreakerState, count_failure, is_failing
from app.delivery.models import Message
from app.orders.models import PurchaseOrder
from app.partners import service as partner_service
from app.partners.models import Partner
from app.webhooks.partner_status import PartnerState, last_delivery_times, partner_statuses
from tests.fixture_types import (
    Arrive,
    ChangePartner,
    Confirm,
    ConfirmOrders,
    Deliver,
    MoveClock,
    PausePartner,
)
from tests.people import BEARINGS, TRIVENI, Browser
from tests.serving import Network

BANNER = "[data-partner-failing]"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def state(session: Session, partner: Partner) -> Callable[[], PartnerState]:
    """The state of the partner as it is now."""

    def state() -> PartnerState:
        session.rollback()
        session.expire_all()
        row = session.get_one(Partner, partner.id)
        return partner_statuses(session, [row])[0].state

    return state


def banners(browser: Browser, path: str = "/") -> list[str]:
    """The texts of the banners about failing partners."""
    return [" ".join(banner.get_text(" ").split()) for banner in browser.get(path).page.select(BANNER)]


def test_partner_is_failing_after_failures_in_a_row_until_a_success() -> None:
    state = BreakerState()
    for _ in range(3):
        assert not is_failing(state, 3)
        state = count_failure(state, NOON, failed=True, succeeded=False)
    assert is_failing(state, 3) and not is_failing(state, 4)
    assert count_failure(state, NOON, failed=False, succeeded=False) == state
    assert count_failure(state, NOON, failed=False, succeeded=True) == BreakerState()


def test_partner_with_503_responses_fails_and_recovers(
    confirm_orders: ConfirmOrders,
    network: Network,
    deliver: Deliver,
    move_clock: MoveClock,
    state: Any,
    ravi: Browser,
) -> None:
    confirm_orders(5)
    assert state() is PartnerState.ACTIVE
    network.behave("status", status=503)
    deliver()
    assert state() is PartnerState.FAILING
    (banner,) = banners(ravi)
    assert (
        "Bharat Connect has been failing since" in banner
        and "5 webhooks in the queue; nothing is lost" in banner
    )
    assert "Next check:" in banner
    move_clock(minutes=32)
    (banner,) = banners(ravi)
    assert "(32 min)" in banner
    network.behave("ok")
    move_clock(minutes=1)
    deliver()
    assert state() is PartnerState.ACTIVE and not banners(ravi)


@pytest.mark.sqlite
def test_fewer_failures_than_the_setting_are_only_a_delay(
    confirm_orders: ConfirmOrders, network: Network, deliver: Deliver, state: Any, ravi: Browser
) -> None:
    confirm_orders(2)
    network.behave("status", status=503)
    deliver()
    assert state() is PartnerState.DELAYED and not banners(ravi)
    partners = ravi.get("/partners")
    assert "Delayed" in partners.visible_text
    page = ravi.get(str(partners.one("td a[href^='/partners/']")["href"]))
    assert "Wait for the next attempts" in page.one(".next-step").get_text()


@pytest.mark.sqlite
def test_setting_decides_how_many_failures_count(
    database: Database,
    arrive: Arrive,
    confirm: Confirm,
    network: Network,
    deliver: Deliver,
    session: Session,
    ravi: Browser,
) -> None:
    assert SessionSettings.of(session).failing_after == 3
    database.settings = replace(database.settings, failing_after=1)
    confirm(arrive(1)[0])
    network.behave("status", status=503)
    deliver()
    assert len(banners(ravi)) == 1


@pytest.mark.sqlite
@pytest.mark.parametrize("status", [401, 429])
def test_rejected_keys_and_rate_limits_are_not_failing(
    status: int,
    confirm_orders: ConfirmOrders,
    network: Network,
    deliver: Deliver,
    move_clock: MoveClock,
    state: Any,
) -> None:
    confirm_orders(4)
    network.behave("status", status=status)
    deliver()
    assert state() is (PartnerState.DELAYED if status == 429 else PartnerState.PAUSED)


@pytest.mark.sqlite
def test_only_readers_with_waiting_webhooks_see_the_banner(
    arrive: Arrive,
    confirm: Confirm,
    network: Network,
    deliver: Deliver,
    session: Session,
    asha: Browser,
    omar: Browser,
    meera: Browser,
    ravi: Browser,
) -> None:
    orders = session.scalars(select(PurchaseOrder).where(PurchaseOrder.id.in_(arrive(12)))).all()
    own = [order.id for order in orders if order.supplier_b2b_id == BEARINGS][:1]
    for order_id in [order.id for order in orders if order.supplier_b2b_id == TRIVENI][:3]:
        confirm(order_id)
    network.behave("reset")
    deliver()
    for browser, path in ((asha, "/orders"), (meera, "/health"), (ravi, "/attention")):
        (banner,) = banners(browser, path)
        assert "3 webhooks in the queue" in banner
    assert not banners(omar)
    confirm(own[0])
    assert "1 webhook in the queue" in banners(omar)[0] and "4 webhooks in the queue" in banners(asha)[0]
    assert omar.get(omar.get("/").one(f"{BANNER} a")["href"]).status_code == 200


@pytest.mark.sqlite
def test_failing_partner_is_red_in_partners_and_health(
    confirm_orders: ConfirmOrders, network: Network, deliver: Deliver, ravi: Browser
) -> None:
    confirm_orders(3)
    network.behave("status", status=503)
    deliver()
    for path in ("/partners", "/health"):
        row = ravi.get(path).one("tr.failing")
        assert row.select_one(".state.bad") and "Failing" in row.get_text()


def test_last_delivery_is_that_of_each_partner(
    database: Database, arrive: Arrive, confirm: Confirm, deliver: Deliver, session: Session, partner: Partner
) -> None:
    confirm(arrive(1)[0])
    deliver()
    with database.writing() as writing:
        other, _ = partner_service.add(writing, "Other network", base_url="https://other.example")
        writing.commit()
    delivered_at = session.scalars(select(Message.finished_at)).one()
    assert last_delivery_times(session, [partner.id, other.id]) == {partner.id: delivered_at, other.id: None}


def test_paused_partner_is_not_failing(
    pause_partner: PausePartner,
    confirm_orders: ConfirmOrders,
    network: Network,
    deliver: Deliver,
    state: Any,
    ravi: Browser,
) -> None:
    confirm_orders(3)
    network.behave("status", status=503)
    deliver()
    pause_partner("Maintenance")
    assert state() is PartnerState.PAUSED and not banners(ravi)


@pytest.mark.sqlite
def test_partner_that_rejects_the_key_is_paused_until_the_key_is_corrected(
    confirm_orders: Any, network: Any, deliver: Any, partner: Partner, ravi: Browser
) -> None:
    confirm_orders(3)
    network.behave("status", status=401)
    deliver()
    page = ravi.get(f"/partners/{partner.id}")
    assert "The partner rejected the key or the URL 3 times in a row (401)." in page.visible_text
    assert "Correct the key or the URL" in page.one(".next-step").get_text()
    assert ravi.get("/attention").one(".attention-item a.btn").get_text() == "Run diagnostics"


def test_support_gets_one_item_with_its_next_steps(
    change_partner: ChangePartner,
    arrive: Arrive,
    confirm: Confirm,
    network: Network,
    deliver: Deliver,
    move_clock: MoveClock,
    partner: Partner,
    ravi: Browser,
    meera: Browser,
) -> None:
    change_partner(retry_schedule=[1])
    first, *others = arrive(4)
    for order_id in others:
        confirm(order_id)
    network.behave("status", status=503)
    deliver()
    (item,) = ravi.get("/attention").page.select(".attention-item")
    assert "Failing" in item.get_text() and "Run diagnostics" in item.get_text()
    url = f"/attention/partner-{partner.id}"
    assert meera.get(url).status_code == 404
    steps = [link.get_text() for link in ravi.get(url).page.select(".next-step a")]
    assert "Run diagnostics" in steps and "Pause partner" in steps
    move_clock(minutes=1)
    deliver()  # all have failed now
    assert "Failing" in ravi.get("/partners").visible_text
    network.behave("ok")
    confirm(first)
    deliver()
    assert "Failing" not in ravi.get("/partners").visible_text
    (link,) = ravi.get(url).page.select(".buttons a")
    assert link.get_text() == "Resend 3 failed webhooks"
    assert "3 webhooks" in ravi.get(link["href"]).visible_text


@pytest.mark.sqlite
def test_polling_pages_update_the_banner(
    arrive: Arrive,
    confirm: Confirm,
    network: Network,
    deliver: Deliver,
    move_clock: MoveClock,
    asha: Browser,
    ravi: Browser,
) -> None:
    ids = arrive(3)
    messages = [confirm(order_id) for order_id in ids]
    network.behave("status", status=503)
    deliver()
    job = ravi.send(
        f"/webhooks/resends?ids={messages[0]}",
        {**ravi.fill(f"/webhooks/resends?ids={messages[0]}", "/webhooks/resends"), "reason": "Outage"},
    ).location
    pages = [
        (ravi, f"/webhooks/{messages[0]}", "/state"),
        (asha, f"/orders/{ids[0]}", "/delivery"),
        (ravi, job, ""),
    ]
    for browser, path, poll in pages:
        fragment = browser.get(path + poll, headers={"HX-Request": "true", "X-Poll": "1"})
        assert fragment.one("#outage-banners")["data-hx-swap-oob"] == "true", path
        assert fragment.page.select(BANNER), path
        assert "data-hx-swap-oob" not in browser.get(path).one("#outage-banners").attrs
    network.behave("ok")
    move_clock(hours=1)
    deliver()
    for browser, path, poll in pages:
        fragment = browser.get(path + poll, headers={"HX-Request": "true", "X-Poll": "1"})
        assert fragment.one("#outage-banners") and not fragment.page.select(BANNER), path
