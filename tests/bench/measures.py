"""The benchmarks by name. Each gets an empty folder and yields values with their references."""

from __future__ import annotations

import functools
import gzip
import itertools
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
from flask import Flask, render_template, template_rendered
from flask.testing import FlaskClient
from sqlalchemy import select

from app.accounts.models import Person
from app.config import ROOT
from app.delivery.models import Attempt, Message
from app.delivery.worker import DeliveryWorker
from app.demo.orders import ORDERS_FILE
from app.network.reader import read_json
from tests.bench.deliveries import deliver_history, deliver_peers, deliver_scale
from tests.bench.pages import (
    audit_page,
    health_page,
    memory,
    orders_page,
    orders_search,
    other_pages,
    webhooks_page,
    webhooks_search,
)
from tests.bench.plain_inbound import create_plain_app
from tests.bench.setup import (
    INBOUND_KEY,
    added_rows,
    confirm_all,
    database_of,
    fresh_app,
    in_turn,
    populate,
    quantile,
    receiver,
    seconds,
    statements,
)
from tests.people import sign_in
from tests.serving import free_port

Line = dict[str, Any]


def _line(value: float, unit: str, against: str, ratio: float | None) -> Line:
    return {
        "value": round(value, 3),
        "unit": unit,
        "against": against,
        "ratio": None if ratio is None else round(ratio, 3),
    }


def _bare_rate(url: str, body: bytes, count: int, threads: int) -> float:
    """Messages per second of a plain loop of ``Session.send``, not stored and not logged."""
    prepared = requests.Request(
        "POST",
        f"{url}/api/v0/purchase-order/req-confirm",
        data=body,
        headers={"Content-Type": "application/json"},
    ).prepare()

    def loop() -> None:
        session = requests.Session()
        session.trust_env = False
        for _ in range(count // threads):
            session.send(prepared, timeout=15).json()

    def run() -> None:
        running = [threading.Thread(target=loop) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    return count / seconds(run)


def deliver_limit(folder: Path, *, rounds: int = 3, each: int = 800, threads: int = 8) -> Iterator[Line]:
    """Checked, stored and logged deliveries per second against a plain loop with as many threads."""
    ratios, rates = [], []
    with receiver() as url:
        app = fresh_app(folder)
        person_id, ids = populate(app, url, orders=each * rounds, concurrency=threads)
        for number in range(rounds):
            confirm_all(app, person_id, ids[number * each : (number + 1) * each])
            with database_of(app).reading() as session:
                body = session.scalars(select(Message.body).limit(1)).one()
            rate = each / seconds(DeliveryWorker(database_of(app), senders=threads).drain)
            rates.append(rate)
            ratios.append(rate / _bare_rate(url, body, each, threads))
    yield _line(
        statistics.median(rates),
        "deliveries/s",
        f"Session.send, {threads} threads",
        statistics.median(ratios),
    )


def deliver_slow(folder: Path, *, count: int = 120, threads: int = 8, delay: float = 0.2) -> Iterator[Line]:
    """Deliveries per second to a slow partner, against concurrency ÷ delay."""
    with receiver(delay) as url:
        app = fresh_app(folder)
        person_id, ids = populate(app, url, orders=count, concurrency=threads)
        confirm_all(app, person_id, ids)
        rate = count / seconds(DeliveryWorker(database_of(app), senders=threads).drain)
    ideal = threads / delay
    yield _line(rate, "deliveries/s", f"{threads} ÷ {delay} s", rate / ideal)


def deliver_door(folder: Path, *, count: int = 60) -> Iterator[Line]:
    """Time from commit to receipt by the partner, on an idle system, against a plain POST."""
    with receiver() as url:
        app = fresh_app(folder)
        person_id, ids = populate(app, url, orders=count)
        stop = threading.Event()
        running = threading.Thread(target=DeliveryWorker(database_of(app), senders=4).run, args=(stop,))
        running.start()
        committed: dict[int, float] = {}
        try:
            time.sleep(0.5)
            for order_id in ids:
                confirm_all(app, person_id, [order_id])
                committed[order_id] = time.time()
                time.sleep(0.05)
            time.sleep(1)
        finally:
            stop.set()
            running.join()
        with database_of(app).reading() as session:
            responses = session.execute(
                select(Message.order_id, Attempt.response_body).join(
                    Attempt, Attempt.message_id == Message.id
                )
            ).all()
        waits = [
            (float(read_json(body)["accepted"]) - committed[order_id]) * 1000
            for order_id, body in responses
            if order_id
        ]
        bare = requests.Session()
        bare.trust_env = False
        body = b'{"poConfirmation":{"objectId":"x"}}'

        def post() -> None:
            bare.post(f"{url}/", data=body, timeout=15)

        post()
        base = statistics.median(seconds(post) * 1000 for _ in range(count))
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        value = quantile(waits, share)
        yield {
            **_line(value, f"ms {name}", f"a bare POST of {base:.1f} ms", None),
            "over": round(value - base, 3),
        }


def _signed_in(app: Flask) -> FlaskClient:
    with database_of(app).reading() as session:
        username = session.scalars(select(Person.username)).first()
    assert username
    client = app.test_client()
    sign_in(client, database_of(app), username)
    return client


QUERYING = ("failing_partners", "announcements", "saved_views", "unread_notifications")
"""Functions that the templates of all pages call, and that read the database."""


def orders_render(folder: Path, *, rounds: int = 60) -> Iterator[Line]:
    """The order list against the same template with the same rows and no database."""
    app = fresh_app(folder)
    populate(app, "http://127.0.0.1:9", orders=200)
    client = _signed_in(app)
    captured: dict[str, Any] = {}

    def keep(_app: Flask, template: Any, context: dict[str, Any], **_more: Any) -> None:
        captured.update(template=template, context=context)

    with template_rendered.connected_to(keep, app):
        assert client.get("/orders").status_code == 200
    context = {
        # A function is called once, and from then on a constant.
        name: functools.cache(value) if name in QUERYING else value
        for name, value in captured["context"].items()
        if name not in ("g", "request", "session")
    }

    def constants() -> None:
        render_template(captured["template"].name, **context)

    with app.test_request_context("/orders", headers={"Cookie": _cookie(client)}):
        constants()
        assert not statements(database_of(app).engine, constants)
        page, bare = in_turn(lambda: client.get("/orders"), constants, rounds=rounds)
    yield _line(1 / page, "pages/s", "the template with constants", bare / page)


def _cookie(client: FlaskClient) -> str:
    cookie = client.get_cookie("po_confirm")
    return f"po_confirm={cookie.value}" if cookie else ""


def inbound_send(folder: Path, *, each: int = 50, rounds: int = 9) -> Iterator[Line]:
    """Orders received per second by the inbound API, against a plain Flask view that stores the same rows."""
    app = fresh_app(folder)
    populate(app, "http://127.0.0.1:9", orders=0)
    engine = database_of(app).engine
    ours, plain = app.test_client(), create_plain_app(engine).test_client()
    first = ORDERS_FILE.read_bytes().splitlines()[0]
    object_id = read_json(first)["purchaseOrder"]["objectId"].encode()
    bodies = (first.replace(object_id, f"PORbench{number:025d}".encode()) for number in itertools.count())

    def send(client: FlaskClient, count: int) -> None:
        for _ in range(count):
            response = client.post(
                "/api/v0/purchase-order/req-send",
                data=next(bodies),
                content_type="application/json",
                headers={"X-Partner-Key": INBOUND_KEY},
            )
            assert response.status_code == 200, response.data

    assert added_rows(engine, lambda: send(ours, 1)) == added_rows(engine, lambda: send(plain, 1))
    quick, reference = in_turn(lambda: send(ours, each), lambda: send(plain, each), rounds=rounds)
    yield _line(each / quick, "orders/s", "Flask, pydantic and the ORM in one view", reference / quick)


def page_weight(folder: Path) -> Iterator[Line]:
    """Compressed bytes of the order list and all its assets, against the CSS of Bootstrap alone."""
    app = fresh_app(folder)
    populate(app, "http://127.0.0.1:9", orders=60)
    client = _signed_in(app)
    html = client.get("/orders").text
    files = set(re.findall(r'(?:href|src)="(/(?:static|assets|bootstrap)/[^"]+)"', html))
    sizes = {path: len(gzip.compress(client.get(path.replace("&amp;", "&")).data)) for path in files}
    page = len(gzip.compress(html.encode()))
    total = page + sum(sizes.values())
    bootstrap = sum(size for path, size in sizes.items() if "bootstrap" in path)
    yield {
        **_line(total / 1024, "KiB gzipped, first visit", "Bootstrap's CSS", total / bootstrap),
        "page": round(page / 1024, 1),
        "files": len(files),
    }


def start(folder: Path) -> Iterator[Line]:
    """From ``flask serve`` to ``/readyz`` on an existing database, against importing the app."""
    fresh_app(folder)
    port = free_port()
    env = {**os.environ, "PO_INSTANCE": str(folder)}

    def up() -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "app", "serve", "--port", str(port)], cwd=ROOT, env=env
        )
        try:
            while True:
                try:
                    if requests.get(f"http://127.0.0.1:{port}/readyz", timeout=1).ok:
                        return
                except (requests.ConnectionError, requests.Timeout):  # not yet ready
                    time.sleep(0.01)
        finally:
            times.append(time.perf_counter())
            process.terminate()
            process.wait()

    times: list[float] = []
    values = []
    for _ in range(3):
        started = time.perf_counter()
        up()
        values.append(times[-1] - started)
    bare = seconds(
        lambda: subprocess.run([sys.executable, "-c", "import app"], cwd=ROOT, env=env, check=True)
    )
    value = statistics.median(values)
    yield _line(value, "s", f"importing the app, {bare:.2f} s", value / bare)


ALL: dict[str, Callable[[Path], Iterator[Line]]] = {
    "page.weight": page_weight,
    "orders.render": orders_render,
    "orders.page": orders_page,
    "orders.search": orders_search,
    "webhooks.page": webhooks_page,
    "webhooks.search": webhooks_search,
    "audit.page": audit_page,
    "other.pages": other_pages,
    "health.page": health_page,
    "memory": memory,
    "start": start,
    "deliver.door": deliver_door,
    "deliver.limit": deliver_limit,
    "deliver.slow": deliver_slow,
    "deliver.scale": deliver_scale,
    "deliver.history": deliver_history,
    "deliver.peer": deliver_peers,
    "inbound.send": inbound_send,
}
