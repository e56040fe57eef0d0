"""What a scrape of /metrics says, on both databases."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from app import clock as the_clock
from app.db import Database
from app.outbox.claim import claim
from app.outbox.models import Lane
from app.outbox.record import repair
from app.partners.models import Partner


def scraped(app: Any) -> dict[tuple[str, str], float]:
    """Every sample by its name and its labels but the partner's, as ``state=due``."""
    answer = app.test_client().get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain")
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sample.labels.items() if k != "partner")): sample.value
        for family in text_string_to_metric_families(answer.get_data(as_text=True))
        for sample in family.samples
    }


def test_attempts_are_counted_by_what_came_of_them(
    app: Any, arrive: Any, confirm: Any, deliver: Any, network: Any, clock: Any
) -> None:
    network.behave("503", times=2)
    for order_id in arrive(3):
        confirm(order_id)
    deliver()
    clock.move(seconds=10)
    deliver()
    found = scraped(app)
    assert found["po_confirm_attempts_total", "outcome=busy"] == 2
    assert found["po_confirm_attempts_total", "outcome=delivered"] == 3
    assert found["po_confirm_attempt_duration_seconds_count", ""] == 5
    assert found["po_confirm_attempt_duration_seconds_bucket", "le=+Inf"] == 5
    assert found["po_confirm_attempt_duration_seconds_sum", ""] > 0
    assert found["po_confirm_messages", "state=due"] == 0


def test_what_waits_is_told_by_why_it_waits(
    app: Any, arrive: Any, confirm: Any, deliver: Any, network: Any, database: Database, clock: Any
) -> None:
    first, second, third = arrive(3)
    network.behave("503", times=1)
    confirm(first)
    deliver()
    confirm(second)
    network.behave("refuse", times=1)
    confirm(third)
    found = scraped(app)
    assert found["po_confirm_messages", "state=scheduled"] == 1
    assert found["po_confirm_messages", "state=due"] == 2
    clock.move(seconds=60)
    assert scraped(app)["po_confirm_oldest_due_seconds", ""] >= 60

    with database.writing() as session:
        session.execute(update(Partner).values(paused_at=the_clock.now(), paused_reason="x"))
        session.commit()
    found = scraped(app)
    assert found["po_confirm_partner_paused", ""] == 1
    assert (found["po_confirm_messages", "state=held"], found["po_confirm_messages", "state=due"]) == (3, 0)
    assert found["po_confirm_oldest_due_seconds", ""] == 0


def test_a_breaker_and_a_lost_lease_are_seen(
    app: Any, arrive: Any, confirm: Any, database: Database, clock: Any, partner: Partner
) -> None:
    confirm(arrive(1)[0])
    assert scraped(app)["po_confirm_lease_losses_total", ""] == 0
    with database.writing() as session:
        claim(session, 1, the_clock.now())
        session.commit()
    assert scraped(app)["po_confirm_messages", "state=sending"] == 1
    clock.move(minutes=5)
    with database.writing() as session:
        repair(session, the_clock.now())
        session.execute(update(Lane).values(opened_at=the_clock.now()))
        session.commit()
    found = scraped(app)
    assert found["po_confirm_lease_losses_total", ""] == 1
    assert found["po_confirm_breaker_open", ""] == 1
    assert found["po_confirm_messages", "state=held"] == 1


def test_the_metrics_hold_no_secret(app: Any, arrive: Any, confirm: Any, deliver: Any) -> None:
    confirm(arrive(1)[0])
    deliver()
    text = app.test_client().get("/metrics").get_data(as_text=True)
    assert "Bharat Connect" in text
    assert "a-secret-of-ours" not in text
    assert "msg_" not in text
