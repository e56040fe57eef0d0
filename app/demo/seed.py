"""A month of realistic data: orders, responses, webhooks in every state, attempts and received messages.

Rows are written directly, since the commands would take hours. Their contents are in ``seed_rows``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Person, Role
from app.accounts.passwords import new_password
from app.db import Database
from app.delivery import statistics
from app.delivery.models import Attempt, Message
from app.demo.orders import example_orders
from app.demo.seed_plan import make_plan
from app.demo.seed_rows import UNREACHABLE, SeedRows
from app.demo.seed_templates import ExampleData
from app.demo.start import PARTNER, add_people
from app.inbound.models import InboundMessage
from app.orders.models import PurchaseOrder
from app.partners import queries as partner_queries
from app.partners import service as partner_service
from app.partners.models import Partner

PARTNERS = ("Deccan Trade Network (example)", "Konkan Exchange (example)", "Malwa Hub (example)")
"""The last one is paused."""
AT_ONCE = 2_000
"""Orders per transaction."""


class NotADemo(Exception):
    """The database has other data; the text is one line for the operator."""


def seed(
    database: Database,
    *,
    messages: int,
    attempts: int,
    on_progress: Callable[[int], None] = lambda _done: None,
    force: bool = False,
    rng: random.Random | None = None,
) -> dict[str, int]:
    """Fill the database with this many messages and attempts over the last 30 days; returns the counts.

    ``on_progress`` is called with the number of orders since the last call. Errors: NotADemo for a database
    that is neither empty nor a demo, unless ``force``; ValueError for too few or too many attempts.
    """
    rng = rng or random.Random()
    now = clock.now()
    with database.writing() as session:
        if not force:
            _check_is_demo(session)
        example_data = _example_data(session, now)
        order_id = (session.scalar(select(func.max(PurchaseOrder.id))) or 0) + 1
        session.commit()
    plan = make_plan(rng, now, messages, attempts)
    run = f"{rng.randrange(36**4):05d}"
    counts = {"orders": 0, "messages": 0, "attempts": 0, "received": 0}
    for start in range(0, len(plan), AT_ONCE):
        batch = SeedRows(rng, example_data, run, now)
        for planned in plan[start : start + AT_ONCE]:
            batch.add(order_id, planned)
            order_id += 1
        with database.writing() as session:
            _write(session, batch)
            session.commit()
        counts["orders"] += len(batch.rows[PurchaseOrder])
        counts["messages"] += len(batch.rows[Message])
        counts["attempts"] += len(batch.rows[Attempt])
        counts["received"] += len(batch.rows[InboundMessage])
        on_progress(len(batch.rows[PurchaseOrder]))
    with database.writing() as session:
        _advance_sequence(session)
        session.commit()
    if database.is_postgresql:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
    return counts


def _check_is_demo(session: Session) -> None:
    known = {partner.name for partner in partner_queries.all_partners(session)}
    others = known - {PARTNER, *PARTNERS}
    if others:
        raise NotADemo(f"This database is not for example data: it has the partner {min(others)}.")


def _example_data(session: Session, now: datetime) -> ExampleData:
    partners = [_partner(session, name) for name in PARTNERS]
    if not partners[-1].paused:
        partner_service.pause(
            session, partners[-1], "They are deploying a release until tonight.", by="Ravi Deshpande"
        )
    supplier_staff = select(Person).where(Person.role == Role.SUPPLIER).order_by(Person.id)
    staff = session.scalars(supplier_staff).all()
    if not staff:
        add_people(session, new_password(), [Role.SUPPLIER])
        staff = session.scalars(supplier_staff).all()
    ids = [partner.id for partner in partners]
    return ExampleData(
        ids, ids[-1], [(person.id, person.display_name) for person in staff], list(example_orders(now))
    )


def _partner(session: Session, name: str) -> Partner:
    known = partner_queries.partner_by_name(session, name)
    if known:
        return known
    made, _ = partner_service.add(
        session, name, base_url=UNREACHABLE, allow_addresses=["127.0.0.0/8"], accepts_return=True
    )
    return made


def _write(session: Session, batch: SeedRows) -> None:
    statistics.record(session, batch.ended_attempts())
    for model, rows in batch.rows.items():
        if rows:
            session.execute(insert(model.__table__), rows)


def _advance_sequence(session: Session) -> None:
    """Advance the sequence of order ids on PostgreSQL, since the seed assigned ids directly."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(
            text(
                "SELECT setval(pg_get_serial_sequence('purchase_order', 'id'),"
                " (SELECT max(id) FROM purchase_order) + 1)"
            )
        )
