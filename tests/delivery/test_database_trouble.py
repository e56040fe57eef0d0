"""Several workers on one database, and a database that is down, locked or full: nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from app import create_app
from app.config import Settings
from app.db import Database
from app.delivery import wakeup
from app.delivery.models import Message, MessageState
from app.orders.models import Decision
from app.partners.models import Partner
from tests.bench.setup import add_orders, confirm_all, fresh_app, populate
from tests.chaos.run import Counts, count, partner_that_records, start
from tests.delivery.queries import all_messages
from tests.delivery.workers import running_worker
from tests.fixture_types import Arrive, ChangePartner, Confirm
from tests.people import Browser, ParsedResponse, sign_in
from tests.postgresql import Server
from tests.serving import Network
from tests.waiting import wait_until


def everything_is_delivered(session: Session) -> Callable[[], bool]:
    return lambda: {message.state for message in all_messages(session)} == {MessageState.DELIVERED}


def has_more_lines(file: Path, count: int) -> Callable[[], bool]:
    return lambda: len(file.read_text().splitlines()) > count


def test_several_workers_send_each_message_once(
    app: Flask,
    database: Database,
    session: Session,
    partner: Partner,
    tmp_path: Path,
    change_partner: ChangePartner,
) -> None:
    with partner_that_records(tmp_path) as (url, record):
        change_partner(base_url=url, concurrency=12)
        confirm_all(app, 1, add_orders(app, partner.id, 80))
        processes = [start(database.url, {"senders": 4}, None) for _ in range(3)]
        wait_until(everything_is_delivered(session))
        for process in processes:
            process.terminate()
            process.join(30)
            assert process.exitcode == 0
        counts = count(database, record, Counts(messages=80))
    assert (counts.lost, counts.duplicates, counts.changed, counts.unlogged) == (0, 0, 0, 0)


def test_worker_without_notifications_polls(
    order_id: int,
    confirm: Confirm,
    database: Database,
    session: Session,
    network: Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.delivery.service.notify", lambda *_: None)
    monkeypatch.setattr(wakeup._DataVersion, "changed", lambda _: False)
    with running_worker(database):
        time.sleep(0.5)
        confirm(order_id)
        wait_until(everything_is_delivered(session), 20)


@pytest.mark.postgresql
def test_worker_continues_after_its_connections_are_cut(
    arrive: Arrive, confirm: Confirm, database: Database, session: Session, network: Network
) -> None:
    first, second = arrive(2)
    with running_worker(database):
        confirm(first)
        wait_until(everything_is_delivered(session), 20)
        session.close()
        end_connections(database)
        confirm(second)
        wait_until(everything_is_delivered(session), 30)
    assert len(network.received()) == 2


def end_connections(database: Database) -> None:
    """End every connection to this database, listening ones included."""
    url = make_url(database.url)
    with psycopg.connect(
        host=url.host, port=url.port, user=url.username, dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [url.database]
        )
    database.engine.dispose()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_database_restart_under_load_loses_nothing(mode: str, tmp_path: Path) -> None:
    server = Server(durable=True)
    try:
        server.execute("CREATE DATABASE restarted")
        app = fresh_app(tmp_path, database_url=server.url("restarted"))
        database: Database = app.extensions["database"]
        with partner_that_records(tmp_path) as (url, record):
            person_id, ids = populate(app, url, orders=200, concurrency=8)
            confirm_all(app, person_id, ids)
            asha = asha_at(app)
            processes = [start(database.url, {"senders": 4}, None) for _ in range(2)]
            for minimum in (20, 80):
                wait_until(has_more_lines(record, minimum))
                server.stop(mode)
                assert asha.get("/orders").status_code == 503
                server.start()
            with Session(database.engine) as session:
                wait_until(lambda: not unfinished(session), 60)
            for process in processes:
                process.terminate()
                process.join(30)
                assert process.exitcode == 0
            counts = count(database, record, Counts(messages=200))
        assert (counts.lost, counts.unsettled, counts.changed, counts.unlogged) == (0, 0, 0, 0)
        # Claims and records with unknown commit outcome: at most those in flight in both workers, twice.
        assert counts.duplicates <= 2 * 8
        database.engine.dispose()
    finally:
        server.remove()


def unfinished(session: Session) -> int:
    session.rollback()
    return session.scalar(select(func.count(Message.id)).where(Message.state != MessageState.DELIVERED)) or 0


@pytest.fixture
def impatient(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """Another app on the same database that waits only briefly for a lock."""
    monkeypatch.setattr("app.db.engine.BUSY_MILLISECONDS", 200)
    app = create_app(settings)
    yield app
    app.extensions["database"].engine.dispose()


def asha_at(app: Flask) -> Browser:
    browser = Browser(app, ParsedResponse)
    sign_in(browser, app.extensions["database"], "asha")
    return browser


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another_process(database: Database) -> Iterator[None]:
    """A process that holds SQLite's write lock."""
    path = str(make_url(database.url).database)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdin
    process.stdout.readline()
    try:
        yield
    finally:
        process.stdin.close()
        process.wait(30)


@pytest.mark.sqlite
def test_locked_sqlite_file_is_waited_for(
    arrive: Arrive,
    confirm: Confirm,
    database: Database,
    session: Session,
    network: Network,
    impatient: Flask,
    caplog: Any,
) -> None:
    first, second = arrive(2)
    confirm(first)
    asha = asha_at(impatient)
    url = f"/orders/{second}/answer"
    fields = {**asha.fill(url, url), "supplier_response": "ACCEPT", "supplier_remarks": "Confirmed"}
    with locked_by_another_process(database), running_worker(impatient.extensions["database"]):
        wait_until(lambda: "the database is unavailable" in caplog.text, 20)
        refused = asha.send(url, fields)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert "may not have been saved" in refused.visible_text
        assert not network.received()
        # It stops on a signal while the file is locked, since nothing is in flight.
    assert session.scalar(select(func.count(Decision.id))) == 1
    assert asha.send(url, fields).status_code == 303
    with running_worker(impatient.extensions["database"]):
        wait_until(everything_is_delivered(session), 30)
    assert len(network.received()) == 2


class Disk:
    """The disk of a SQLite file, which can be set to full."""

    def __init__(self, database: Database) -> None:
        self.full = False
        event.listen(database.engine, "begin", self._limit)

    def _limit(self, connection: Any) -> None:
        # A limit below the current size allows no further page.
        connection.connection.driver_connection.execute(
            f"PRAGMA max_page_count = {1 if self.full else 1_000_000_000}"
        )


@pytest.mark.sqlite
def test_full_disk_is_retried_and_reported_on_pages(
    arrive: Arrive,
    confirm: Confirm,
    database: Database,
    session: Session,
    network: Network,
    asha: Browser,
    caplog: Any,
) -> None:
    ids = arrive(32)
    for order_id in ids[:12]:
        confirm(order_id)
    forms = {
        url: {**asha.fill(url, url), "supplier_response": "ACCEPT"}
        for url in (f"/orders/{order_id}/answer" for order_id in ids[12:])
    }
    disk = Disk(database)
    disk.full = True
    fill_free_pages(database)
    with running_worker(database):
        wait_until(lambda: "the database is unavailable" in caplog.text, 30)
        responses = {url: asha.send(url, fields) for url, fields in forms.items()}
        refused = [url for url, response in responses.items() if response.status_code != 303]
        assert refused
        assert all(responses[url].status_code == 503 for url in refused)
        assert all("may not have been saved" in responses[url].visible_text for url in refused)
        assert not everything_is_delivered(session)()
        disk.full = False
        wait_until(everything_is_delivered(session), 30)
    assert {request["idempotency_key"] for request in network.received()} == {
        message.id for message in all_messages(session)
    }
    assert len(network.received()) == 32 - len(refused)
    assert all(asha.send(url, forms[url]).status_code == 303 for url in refused)


def fill_free_pages(database: Database) -> None:
    """Fill the free space in the pages of the tables that deliveries write to."""
    with database.engine.connect() as connection:
        pages = connection.execution_options(sqlite_begin="IMMEDIATE")
        filler = text(
            "INSERT INTO attempt (message_id, number, trigger, url, request_headers, started_at, detail,"
            " response_headers, response_body)"
            " SELECT id, :number, 'manual', '', '[]', created_at, :words, '[]', '' FROM message LIMIT 1"
        )
        number, size = -1, 2000
        while size > 1:
            try:
                pages.execute(filler, {"number": number, "words": "x" * size})
                pages.commit()
                number -= 1
            except Exception:
                pages.rollback()
                size //= 2
