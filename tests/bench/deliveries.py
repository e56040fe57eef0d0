"""Benchmarks of several workers, of a long history, and of other queues."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import func, select, text

from app.config import ROOT
from app.delivery.models import LIVE, Attempt, Message
from app.delivery.worker import DeliveryWorker
from tests.bench.setup import confirm_all, database_of, fresh_app, populate, receiver, seconds
from tests.chaos.run import start
from tests.postgresql import Server

Line = dict[str, Any]
PEERS = Path(os.environ.get("BENCH_PEERS", ROOT / ".venv-peers"))
"""The peers' own environment; ``make bench`` makes it."""
PEERS_CODE = Path(__file__).parent / "peers"


def deliver_scale(folder: Path, *, count: int = 500, rounds: int = 3) -> Iterator[Line]:
    """Deliveries per second of two workers on PostgreSQL against one.

    The second line has a partner that takes 20 ms: it measures whether two workers block each other,
    independent of the number of cores.
    """
    server = Server()
    try:
        for name, delay in (("", 0.0), ("20ms", 0.02)):
            server.execute(f"CREATE DATABASE scale{name}")
            (place := folder / f"scale{name}").mkdir()
            app = fresh_app(place, database_url=server.url(f"scale{name}"))
            with receiver(delay) as url:
                person_id, ids = populate(app, url, orders=2 * count * rounds, concurrency=16)
                batches = [ids[first : first + count] for first in range(0, len(ids), count)]
                single, double = [], []
                for number in range(rounds):
                    single.append(_rate_of(app, person_id, batches[2 * number], deliverers=1))
                    double.append(_rate_of(app, person_id, batches[2 * number + 1], deliverers=2))
            database_of(app).engine.dispose()
            ratio = statistics.median(second / first for first, second in zip(single, double, strict=True))
            against = f"one deliverer, {os.cpu_count()} cores for all" + (
                ", partner takes 20 ms" if name else ""
            )
            yield {
                **({"part": name} if name else {}),
                **_line(statistics.median(double), "deliveries/s", against, ratio),
            }
    finally:
        server.remove()


def _rate_of(app: Flask, person_id: int, ids: list[int], *, deliverers: int) -> float:
    """Deliveries per second of several processes, from the first attempt's start to the last one's end."""
    confirm_all(app, person_id, ids)
    processes = [start(database_of(app).url, {"senders": 8}, None) for _ in range(deliverers)]
    with database_of(app).reading() as session:
        while session.scalar(select(func.count()).where(Message.state.in_(LIVE))):
            session.rollback()
            time.sleep(0.02)
        for process in processes:
            process.terminate()
            process.join()
        first, last = session.execute(
            select(func.min(Attempt.started_at), func.max(Attempt.ended_at))
            .join(Message, Message.id == Attempt.message_id)
            .where(Message.order_id.in_(ids))
        ).one()
    assert first and last
    return len(ids) / float((last - first).total_seconds())


HISTORY = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
INSERT INTO message (id, kind, partner_id, order_id, decision_number, object_id, buyer_po_number,
  buyer_b2b_id, supplier_b2b_id, object_version, body, body_sha256, created_at, created_by, state, next_at,
  claims, interruptions, tries, attempts_made, unknown_outcome, trigger, finished_at, reason,
  note_code, note_params, cancel_params, response_message, result, req_msg_id, error_cd, error_dtl,
  error_field)
SELECT printf('msg_00%024d', n), 'req-confirm', 1, NULL, 1, printf('POR%d', n), printf('PO%d', n),
  'B', 'S', 1, x'7b7d', '', '2026-01-01 00:00:00.000000', 'Asha', 'delivered', NULL, 1, 0, 1, 1, 0, 'auto',
  '2026-01-01 00:00:00.000000', 'delivered', 'attempt', '{{}}', '{{}}',
  'Success', 'SUCCESS', 'R1', '', '', '' FROM numbers
"""
ATTEMPTS = """
INSERT INTO attempt (message_id, number, trigger, url, request_headers, started_at, ended_at, outcome,
  detail_code, detail_params, status, response_headers, response_body, response_size, duration_ms)
SELECT id, 1, 'auto', 'http://x', '[]', created_at, created_at, 'delivered',
  '', '{}', 200, '[]', x'7b7d', 2, 5.0
FROM message
"""


def deliver_history(
    folder: Path, *, history: int = 1_000_000, count: int = 600, rounds: int = 5
) -> Iterator[Line]:
    """Deliveries per second with a million finished messages against an empty table; SQLite, in turn."""
    with receiver() as url:
        sides = []
        for name in ("empty", "full"):
            (folder / name).mkdir()
            app = fresh_app(folder / name)
            person_id, ids = populate(app, url, orders=count * (rounds + 1), concurrency=8)
            sides.append((app, person_id, ids))
        with database_of(sides[1][0]).engine.begin() as connection:
            connection.execute(text(HISTORY.format(count=history)))
            connection.execute(text(ATTEMPTS))
        rates: tuple[list[float], list[float]] = ([], [])
        for number in range(rounds + 1):
            for (app, person_id, ids), side_rates in zip(sides, rates, strict=True):
                confirm_all(app, person_id, ids[number * count : (number + 1) * count])
                side_rates.append(count / seconds(DeliveryWorker(database_of(app), senders=8).drain))
    ratio = statistics.median(full / empty for empty, full in list(zip(*rates, strict=True))[1:])
    yield _line(statistics.median(rates[1][1:]), "deliveries/s", f"no history instead of {history}", ratio)


def deliver_peers(folder: Path, *, count: int = 1000, rounds: int = 3, threads: int = 8) -> Iterator[Line]:
    """PO Confirm against other task queues: same receiver, same body, same concurrency, in turn."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        yield {"skipped": f"no peers in {PEERS}: run it by `make bench`"}
        return
    names = ["huey"] + (["dramatiq", "celery"] if shutil.which("redis-server") else [])
    with receiver() as url:
        app = fresh_app(folder)
        person_id, ids = populate(app, url, orders=count * rounds * len(names), concurrency=threads)
        for name in names:
            ours, theirs = [], []
            for number in range(rounds):
                batch, ids = ids[:count], ids[count:]
                confirm_all(app, person_id, batch)
                with database_of(app).reading() as session:
                    body = session.scalars(select(Message.body).limit(1)).one()
                ours.append(count / seconds(DeliveryWorker(database_of(app), senders=threads).drain))
                place = folder / f"{name}-{number}"
                place.mkdir()
                theirs.append(_peer_rate(python, name, url, body, count, threads, place))
            ratio = statistics.median(own / peer for own, peer in zip(ours, theirs, strict=True))
            against = f"{name}, {statistics.median(theirs):.0f}/s"
            yield {"part": name, **_line(statistics.median(ours), "deliveries/s", against, ratio)}


def _peer_rate(
    python: Path, name: str, url: str, body: bytes, count: int, threads: int, folder: Path
) -> float:
    """Messages per second of another queue, as its script measures it."""
    (folder / "body").write_bytes(body)
    done = subprocess.run(
        [python, PEERS_CODE / f"{name}_side.py", url, str(count), str(threads), folder],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["rate"])


def _line(value: float, unit: str, against: str, ratio: float) -> Line:
    return {"value": round(value, 3), "unit": unit, "against": against, "ratio": round(ratio, 3)}
