"""What a scrape of /metrics returns, on both databases."""

from __future__ import annotations

from typing import Any

from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, update

from app import clock
from app.db import Database
from app.delivery.models import CircuitBreaker, Message
from app.delivery.recording import reclaim_expired
from tests.fixture_types import Arrive, ChangePartner, ClaimOne, Confirm, ConfirmOrders, Deliver, MoveClock
from tests.serving import Network


def scraped(app: Flask) -> dict[tuple[str, str], float]:
    """All samples by name and labels without the partner's, such as ``state=due``."""
    response = app.test_client().get("/metrics")
    assert response.status_code == 200
    assert response.content_type.startswith("text/plain")
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sample.labels.items() if k != "partner")): sample.value
        for family in text_string_to_metric_families(response.get_data(as_text=True))
        for sample in family.samples
    }


def test_attempts_are_counted_by_outcome(
    app: Flask, confirm_orders: ConfirmOrders, deliver: Deliver, network: Network, move_clock: MoveClock
) -> None:
    network.behave("503", times=2)
    confirm_orders(3)
    deliver()
    move_clock(seconds=10)
    deliver()
    samples = scraped(app)
    assert samples["po_confirm_attempts_total", "outcome=busy"] == 2
    assert samples["po_confirm_attempts_total", "outcome=delivered"] == 3
    assert samples["po_confirm_attempt_duration_seconds_count", ""] == 5
    assert samples["po_confirm_attempt_duration_seconds_bucket", "le=+Inf"] == 5
    assert samples["po_confirm_attempt_duration_seconds_sum", ""] > 0
    assert samples["po_confirm_messages", "state=due"] == 0


def test_queued_messages_are_counted_by_state(
    app: Flask,
    arrive: Arrive,
    confirm: Confirm,
    deliver: Deliver,
    network: Network,
    change_partner: ChangePartner,
    move_clock: MoveClock,
) -> None:
    first, second, third = arrive(3)
    network.behave("503", times=1)
    confirm(first)
    deliver()
    confirm(second)
    network.behave("refuse", times=1)
    confirm(third)
    samples = scraped(app)
    assert samples["po_confirm_messages", "state=scheduled"] == 1
    assert samples["po_confirm_messages", "state=due"] == 2
    move_clock(seconds=60)
    assert scraped(app)["po_confirm_oldest_due_seconds", ""] >= 60

    change_partner(paused_at=clock.now(), paused_reason="x")
    samples = scraped(app)
    assert samples["po_confirm_partner_paused", ""] == 1
    assert (samples["po_confirm_messages", "state=held"], samples["po_confirm_messages", "state=due"]) == (
        3,
        0,
    )
    assert samples["po_confirm_oldest_due_seconds", ""] == 0


def test_open_breaker_and_lost_lease_are_reported(
    app: Flask,
    arrive: Arrive,
    confirm: Confirm,
    database: Database,
    move_clock: MoveClock,
    claim_one: ClaimOne,
) -> None:
    confirm(arrive(1)[0])
    assert scraped(app)["po_confirm_lease_losses_total", ""] == 0
    claim_one()
    assert scraped(app)["po_confirm_messages", "state=sending"] == 1
    move_clock(minutes=5)
    with database.writing() as session:
        reclaim_expired(session, clock.now())
        session.execute(update(CircuitBreaker).values(opened_at=clock.now()))
        session.commit()
    samples = scraped(app)
    assert samples["po_confirm_lease_losses_total", ""] == 1
    assert samples["po_confirm_breaker_open", ""] == 1
    assert samples["po_confirm_messages", "state=held"] == 1


def test_metrics_contain_no_secret(app: Flask, arrive: Arrive, confirm: Confirm, deliver: Deliver) -> None:
    confirm(arrive(1)[0])
    deliver()
    text = app.test_client().get("/metrics").get_data(as_text=True)
    assert "Bharat Connect" in text
    assert "a-secret-of-ours" not in text
    assert "msg_" not in text


def test_metrics_are_valid_with_any_partner_name(
    app: Flask, arrive: Arrive, confirm: Confirm, deliver: Deliver, change_partner: ChangePartner
) -> None:
    partner_name = 'A "b" \\ c\nd {e="f"} ₹'
    confirm(arrive(1)[0])
    deliver()
    change_partner(name=partner_name)
    text = app.test_client().get("/metrics").get_data(as_text=True)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {name: family.type for name, family in families.items()} == {
        "po_confirm_messages": "gauge",
        "po_confirm_oldest_due_seconds": "gauge",
        "po_confirm_breaker_open": "gauge",
        "po_confirm_partner_paused": "gauge",
        "po_confirm_attempts": "counter",
        "po_confirm_lease_losses": "counter",
        "po_confirm_attempt_duration_seconds": "histogram",
        "po_confirm_failed_attempts": "gauge",
        "po_confirm_throttled": "gauge",
    }
    samples = [sample for family in families.values() for sample in family.samples]
    assert {sample.labels.get("partner", partner_name) for sample in samples} == {partner_name}
    assert len({(sample.name, *sorted(sample.labels.items())) for sample in samples}) == len(samples)
    buckets = [sample.value for sample in samples if sample.name.endswith("_bucket")]
    assert buckets == sorted(buckets) and buckets[-1] == 1


def test_scrape_does_not_scan_finished_messages(
    app: Flask, arrive: Arrive, confirm: Confirm, deliver: Deliver, database: Database
) -> None:
    """Measured with a million messages: a few milliseconds on both databases."""
    confirm(arrive(1)[0])
    deliver()
    _multiply(database, 20_000)
    queries: list[tuple[str, Any]] = []

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            queries.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", record)
    samples = scraped(app)
    event.remove(database.engine, "before_cursor_execute", record)
    assert samples["po_confirm_messages", "state=refused"] == 2000
    explain = "EXPLAIN" if database.is_postgresql else "EXPLAIN QUERY PLAN"
    with database.engine.connect() as connection:
        steps = [
            str(row[-1]).strip()
            for statement, values in queries
            for row in connection.exec_driver_sql(f"{explain} {statement}", values)
        ]
    assert [step for step in steps if _scans_all(step)] == []


def _scans_all(step: str) -> bool:
    is_small = "ix_message_due" in step or "ix_message_leased" in step
    return "Seq Scan on message" in step or (step.startswith("SCAN message") and not is_small)


def _multiply(database: Database, count: int) -> None:
    """Add copies of the only message; every tenth is refused."""
    numbers = (
        f"generate_series(1, {count}) AS numbers(n)"
        if database.is_postgresql
        else f"(WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
        " SELECT n FROM numbers) AS numbers"
    )
    columns = [column.name for column in Message.__table__.columns]
    other = {
        "id": "'msg_' || (1000000 + n)",
        "order_id": "NULL",
        "state": "CASE WHEN mod(n, 10) = 0 THEN 'refused' ELSE 'delivered' END",
    }
    picked = ", ".join(other.get(name, f"message.{name}") for name in columns)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO message ({', '.join(columns)}) SELECT {picked} FROM message, {numbers}"
        )
    if database.is_postgresql:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE message")
