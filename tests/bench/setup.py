"""Shared parts of the benchmarks: an app on a fresh database, a fast receiver on a real socket, medians."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import Engine, event, func, select

from app import create_app
from app.accounts.models import Person, Role
from app.accounts.service import add_person
from app.clock import now
from app.config import Settings
from app.db import Base, Database
from app.demo.orders import example_orders
from app.inbound.file_import import ImportResult, import_body
from app.inbound.processing import Rules
from app.network.reader import dumps
from app.orders import decisions
from app.orders.models import PurchaseOrder
from app.orders.queries import order_for_update
from app.orders.req_confirm import DecisionInput
from app.partners import service as partner_service

INBOUND_KEY = "the-key-of-the-benchmarks"

RECEIVER = '''
import json, socketserver, sys, time
DELAY = float(sys.argv[1])
class Handler(socketserver.StreamRequestHandler):
    """Responds to every POST as the network does, over one persistent connection."""
    disable_nagle_algorithm = True
    def handle(self):
        while line := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline()) not in (b"\\r\\n", b""):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            accepted = time.time()
            object_id = json.loads(self.rfile.read(length))["poConfirmation"]["objectId"]
            time.sleep(DELAY)
            payload = {"b2bIds": {}, "resp": {"reqMsgId": "R1", "result": "SUCCESS"},
                "poConfirmation": {"objectId": object_id}, "additionalInfos": []}
            body = json.dumps({"response_code": 0, "response_message": "Success",
                "accepted": accepted, "payload": payload}).encode()
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\n")
            self.wfile.write(b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256
server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
'''


@contextmanager
def receiver(delay_seconds: float = 0) -> Iterator[str]:
    """A partner in its own process that responds after ``delay_seconds``; gives its base URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", RECEIVER, str(delay_seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


def fresh_app(folder: Path, **settings: Any) -> Flask:
    """An app with its own database."""
    app = create_app(Settings.load(instance=folder, **settings))
    database_of(app).upgrade()
    return app


def database_of(app: Flask) -> Database:
    """The app's database."""
    database: Database = app.extensions["database"]
    return database


def populate(app: Flask, base_url: str, *, orders: int, concurrency: int = 8) -> tuple[int, list[int]]:
    """Add Asha, a partner at ``base_url`` and example orders; returns her id and the order ids."""
    with database_of(app).writing() as session:
        asha = add_person(
            session,
            "asha",
            role=Role.SUPPLIER,
            password_hash="",
            supplier_ids=["SUPPB2B0001@bbps", "SUPPB2B0002@bbps"],
        )
        partner, _ = partner_service.add(
            session, "bench", base_url=base_url, allow_addresses=["127.0.0.0/8"], inbound_key=INBOUND_KEY
        )
        partner.concurrency = concurrency
        session.commit()
    return asha.id, add_orders(app, partner.id, orders)


def add_orders(app: Flask, partner_id: int, count: int) -> list[int]:
    """Receive ``count`` different orders; returns the ids of all orders of the partner."""
    with database_of(app).writing() as session:
        result, rules = ImportResult(), Rules(1024 * 1024, timedelta(hours=24))
        bodies = list(example_orders(now()))
        for number in range(count):
            body = json.loads(dumps(bodies[number % len(bodies)]), parse_float=str)
            raw = dumps(bodies[number % len(bodies)]).replace(
                body["purchaseOrder"]["objectId"].encode(), f"POR{number:032d}".encode()
            )
            import_body(session, partner_id, raw, location="bench", rules=rules, result=result)
        session.commit()
        assert not result.errors
        of_partner = select(PurchaseOrder.id).where(PurchaseOrder.partner_id == partner_id)
        return list(session.scalars(of_partner.order_by(PurchaseOrder.id)))


def confirm_all(app: Flask, person_id: int, ids: list[int]) -> None:
    """Confirm these orders in Asha's name, in one commit."""
    decision = DecisionInput("ACCEPT", "Confirmed", "INITIATING_CHANNEL", "WEB")
    with database_of(app).writing() as session:
        for order_id in ids:
            order = order_for_update(session, None, order_id)
            assert order
            by = Person(id=person_id, full_name="Asha")
            decisions.respond(session, order, decision, version=order.version, by=by)
        session.commit()


def added_rows(engine: Engine, run: Callable[[], Any]) -> dict[str, int]:
    """How many rows ``run`` adds to each table."""
    before = _row_counts(engine)
    run()
    return {
        table: count - before[table] for table, count in _row_counts(engine).items() if count > before[table]
    }


def _row_counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }


def statements(engine: Engine, run: Callable[[], Any]) -> list[str]:
    """The SQL statements that ``run`` executes, without those that begin a transaction."""
    executed: list[str] = []

    def record(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if not statement.startswith("BEGIN"):
            executed.append(statement)

    event.listen(engine, "before_cursor_execute", record)
    run()
    event.remove(engine, "before_cursor_execute", record)
    return executed


def seconds(run: Callable[[], Any]) -> float:
    """How long one run takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def in_turn(first: Callable[[], Any], second: Callable[[], Any], *, rounds: int) -> tuple[float, float]:
    """The median seconds of both, run in turn after one warm-up of each."""
    first(), second()
    pairs = [(seconds(first), seconds(second)) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def quantile(values: list[float], share: float) -> float:
    """The value below which ``share`` of the values are."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
