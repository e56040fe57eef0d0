"""Benchmarks of pages: a month of heavy use against light use, and memory."""

from __future__ import annotations

import atexit
import os
import random
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from app import create_app
from app.accounts.models import Role
from app.accounts.queries import person_by_username
from app.accounts.service import add_person
from app.clock import now
from app.config import Settings
from app.delivery.models import Message
from app.delivery.statistics import fold
from app.delivery.worker import DeliveryWorker
from app.demo.seed import seed
from app.orders.models import PurchaseOrder
from tests.bench.setup import confirm_all, database_of, fresh_app, in_turn, populate, receiver
from tests.people import sign_in

Line = dict[str, Any]
FEW = 2000
"""Messages of the small side: as few as fill every page that is compared."""
MANY = int(os.environ.get("BENCH_MESSAGES", "200000"))
"""Messages of the large side; three times as many attempts. Making 200,000 takes some minutes."""
SEEDED = os.environ.get("BENCH_SEEDED")
"""The instance folder of a database that ``flask seed`` filled, to save that time."""


@cache
def _sides() -> tuple[FlaskClient, FlaskClient, Flask, Flask]:
    """Meera's browser on the small and on the large database, and both apps."""
    home = tempfile.TemporaryDirectory(prefix="po-confirm-bench-")
    atexit.register(home.cleanup)
    small = _seeded(Path(home.name) / "small", FEW)
    large = (
        create_app(Settings.load(instance=Path(SEEDED)))
        if SEEDED
        else _seeded(Path(home.name) / "large", MANY)
    )
    return _meera(small), _meera(large), small, large


def _seeded(folder: Path, messages: int) -> Flask:
    folder.mkdir()
    app = fresh_app(folder)
    seed(database_of(app), messages=messages, attempts=3 * messages, rng=random.Random(6))
    fold(database_of(app))
    return app


def _meera(app: Flask) -> FlaskClient:
    return _browser(app, "meera", Role.MANAGER)


@cache
def _omars() -> tuple[FlaskClient, FlaskClient]:
    """The browsers of supplier staff, who see half of the orders."""
    *_, small, large = _sides()
    return _browser(small, "omar", Role.SUPPLIER), _browser(large, "omar", Role.SUPPLIER)


def _browser(app: Flask, name: str, role: Role) -> FlaskClient:
    with database_of(app).writing() as session:
        if not person_by_username(session, name):
            add_person(session, name, role=role, password_hash="")
        session.commit()
    client = app.test_client()
    sign_in(client, database_of(app), name)
    return client


def _measure(
    name: str,
    small_url: str,
    large_url: str | None = None,
    *,
    rounds: int = 25,
    by: tuple[FlaskClient, FlaskClient] | None = None,
) -> Line:
    few, many = by or _sides()[:2]

    def small() -> None:
        assert few.get(small_url).status_code == 200

    def large() -> None:
        assert many.get(large_url or small_url).status_code == 200

    quick, slow = in_turn(small, large, rounds=rounds)
    return {
        "part": name,
        "value": round(slow * 1000, 2),
        "unit": "ms",
        "against": f"the same page over {FEW} messages, {quick * 1000:.2f} ms",
        "ratio": round(quick / slow, 3),
        "load": round(os.getloadavg()[0], 1),
    }


def _middle(app: Flask) -> tuple[str, str]:
    """A page key in the middle of the orders, and a message id in the middle of the log."""
    with database_of(app).reading() as session:
        half = (session.scalar(select(func.count()).select_from(PurchaseOrder)) or 0) // 2
        order = session.scalars(
            select(PurchaseOrder)
            .order_by(PurchaseOrder.received_at.desc(), PurchaseOrder.id.desc())
            .offset(half)
            .limit(1)
        ).one()
        message_id = session.scalars(
            select(Message.id).order_by(Message.id.desc()).offset(half).limit(1)
        ).one()
    return f"{order.received_at.isoformat()}~{order.id}".replace("+", "%2B"), message_id


def _middle_order(app: Flask) -> PurchaseOrder:
    """An order with a response in the middle of the list."""
    decided = select(PurchaseOrder).where(PurchaseOrder.message_id.is_not(None))
    with database_of(app).reading() as session:
        half = (session.scalar(select(func.count()).select_from(Message)) or 0) // 2
        return session.scalars(decided.order_by(PurchaseOrder.id).offset(half).limit(1)).one()


def _middle_number(app: Flask) -> str:
    return _middle_order(app).buyer_po_number


def orders_page(folder: Path) -> Iterator[Line]:
    """The order list after a month of heavy use."""
    *_, small, large = _sides()
    few, many = _middle(small)[0], _middle(large)[0]
    yield _measure("first", "/orders", "/orders")
    yield _measure("open", "/orders?answer=open", "/orders?answer=open")
    deep = "/orders?sort=-received_at&after="
    yield _measure("deep", deep + few, deep + many)
    for sort in ("buyer_po_number", "delivery_date"):
        yield _measure(f"by {sort}", f"/orders?sort={sort}")
    yield _measure("of a supplier", "/orders", by=_omars())
    yield _measure("of a supplier, newest", "/orders?sort=-received_at", by=_omars())


def webhooks_page(folder: Path) -> Iterator[Line]:
    """The webhook log after a month of heavy use."""
    *_, small, large = _sides()
    few, many = _middle(small)[1], _middle(large)[1]
    yield _measure("first", "/webhooks", "/webhooks")
    yield _measure("deep", f"/webhooks?after={few}", f"/webhooks?after={many}")
    yield _measure("attention", "/webhooks?state=attention", "/webhooks?state=attention")
    yield _measure("inbound", "/inbound", "/inbound")
    yield _measure("of a supplier", "/webhooks", by=_omars())
    yield _measure("inbound of a supplier", "/inbound", by=_omars())


def webhooks_search(folder: Path) -> Iterator[Line]:
    """Body search: each step is bounded, so its time does not depend on the size of the log."""
    for name, words in (("common", "confirmed"), ("rare", "not acceptable"), ("none", "nothing like that")):
        yield _measure(name, f"/webhooks?q={words}", rounds=15)
        yield _measure(f"inbound {name}", f"/inbound?q={words}", rounds=15)


def audit_page(folder: Path) -> Iterator[Line]:
    """The audit trail with all responses, and a search in it."""
    yield _measure("first", "/audit")
    yield _measure("none", "/audit?q=nothing like that")
    few, many = (f"/audit?q={_middle_number(app)}" for app in _sides()[2:])
    yield _measure("rare", few, many)


def other_pages(folder: Path) -> Iterator[Line]:
    """The pages without complete lists."""
    for path in ("/", "/attention", "/exports", "/jobs", "/metrics"):
        yield _measure(path, path)
    yield _measure("/ of a supplier", "/", by=_omars())
    orders = [f"/orders/{_middle_order(app).id}" for app in _sides()[2:]]
    yield _measure("an order", *orders)
    messages = [f"/webhooks/{_middle_order(app).message_id}" for app in _sides()[2:]]
    yield _measure("a message", *messages)


def orders_search(folder: Path) -> Iterator[Line]:
    """Search for a rare and a common word after a month of heavy use, against the unfiltered list."""
    _, many, _, large = _sides()
    with database_of(large).reading() as session:
        rare = session.scalars(select(PurchaseOrder.buyer_po_number).limit(1).offset(77)).one()

    def unfiltered() -> None:
        assert many.get("/orders").status_code == 200

    for name, word in (("rare", rare), ("common", "spares"), ("none", "nothing like that")):

        def search(word: str = word) -> None:
            assert many.get("/orders", query_string={"q": word}).status_code == 200

        plain, searched = in_turn(unfiltered, search, rounds=15)
        yield {
            "part": name,
            "value": round(searched * 1000, 2),
            "unit": "ms",
            "against": f"the unfiltered page, {plain * 1000:.2f} ms",
            "ratio": round(plain / searched, 3),
            "load": round(os.getloadavg()[0], 1),
        }


def health_page(folder: Path) -> Iterator[Line]:
    """Charts and percentiles after a month of heavy use for each range, and the response report."""
    for name in ("1h", "24h", "7d", "30d"):
        yield _measure(name, f"/health?range={name}", f"/health?range={name}", rounds=11)
    yield _measure("answers", "/reports/answers", rounds=11)
    first = now().date() - timedelta(days=29)
    yield _measure("answers of 30 days", f"/reports/answers?since={first}", rounds=11)


def _resident() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def memory(folder: Path, *, pages: int = 3000, deliveries: int = 3000) -> Iterator[Line]:
    """Growth of resident memory over pages and deliveries, each after a warm-up of a third of the run."""
    few, *_ = _sides()
    urls = ("/", "/orders", "/webhooks", "/inbound", "/health", "/reports/answers")
    for number in range(pages // 3):
        few.get(urls[number % len(urls)])
    before = _resident()
    for number in range(pages):
        few.get(urls[number % len(urls)])
    yield _grown("pages", pages, before)
    with receiver() as url:
        app = fresh_app(folder)
        person_id, ids = populate(app, url, orders=deliveries + deliveries // 3)
        confirm_all(app, person_id, ids[: deliveries // 3])
        DeliveryWorker(database_of(app), senders=8).drain()
        confirm_all(app, person_id, ids[deliveries // 3 :])
        before = _resident()
        DeliveryWorker(database_of(app), senders=8).drain()
        yield _grown("deliveries", deliveries, before)


def _grown(name: str, count: int, before: float) -> Line:
    now = _resident()
    return {
        "part": name,
        "value": round(now - before, 2),
        "unit": f"MiB more after {count}",
        "against": f"{before:.0f} MiB after the warm-up",
        "ratio": round(now / before, 3),
    }
