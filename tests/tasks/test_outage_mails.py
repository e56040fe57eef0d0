"""One email when a partner starts to fail, and one when it has recovered."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixture_types import ConfirmOrders, Deliver, MoveClock
from tests.serving import Network
from tests.tasks.mail_server import MailServer


@pytest.mark.parametrize(("mode", "more"), [("status", {"status": 503}), ("reset", {})])
def test_outage_sends_one_mail_at_its_start_and_one_at_recovery(
    mode: str,
    more: dict[str, int],
    confirm_orders: ConfirmOrders,
    network: Network,
    deliver: Deliver,
    move_clock: MoveClock,
    send: Any,
    mail_server: MailServer,
) -> None:
    confirm_orders(8)
    network.behave(mode, **more)
    for _ in range(3):
        deliver()
        move_clock(minutes=1)
    network.behave("ok")
    move_clock(hours=1)
    deliver()
    send()
    start, end = [mail.message for mail in mail_server.received]
    assert start["Subject"] == "PO Confirm: Bharat Connect is failing"
    assert end["Subject"] == "PO Confirm: Bharat Connect has recovered"
    assert "8 webhooks are queued. Nothing is lost." in start.get_content()
    assert "https://po.supplier.example/attention/partner-" in start.get_content()
